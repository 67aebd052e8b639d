//! Enrolment: how a gateway gets its certificate. One line of text carries all that it needs to find the center, to be
//! sure that it is the center, and to be let in once; JSON over HTTPS does the rest.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::ids::{DisplayName, EnterpriseId, GatewayName};

/// Path of `POST` with an [`EnrolRequest`]; answered by an [`EnrolReply`].
pub const ENROL_PATH: &str = "/enroll";
/// Path of `POST` with a [`RenewRequest`], over a connection with the present certificate; answered by an [`EnrolReply`].
pub const RENEW_PATH: &str = "/renew";

const PREFIX: &str = "igc1-";
const CHECK_BYTES: usize = 4;
/// Longest code: a handful of addresses.
const CODE_BYTES: usize = 2048;

/// What an enrolment code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Where the center listens, `HOST:PORT` each, tried in this order.
    pub addresses: Vec<String>,
    /// SHA-256 of the certificate (DER) of the center's authority.
    pub fingerprint: [u8; 32],
    /// What lets the gateway in, once. Never logged.
    pub secret: Secret,
}

/// The secret part of a code; does not show itself in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a text is not an enrolment code. None of these says whether the code would have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCode {
    /// It does not begin like a code.
    #[error("this is not an enrolment code: one begins with {PREFIX}")]
    NotACode,
    /// A character is wrong or missing.
    #[error("the enrolment code has a typing error or was cut: copy the whole line again")]
    Mistyped,
}

#[derive(Serialize, Deserialize)]
struct Inside {
    a: Vec<String>,
    f: String,
    s: String,
}

fn check(text: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, text).as_ref()[..CHECK_BYTES].to_vec()
}

impl Code {
    /// The code as one line.
    #[must_use]
    pub fn encode(&self) -> String {
        let inside =
            Inside { a: self.addresses.clone(), f: URL_SAFE_NO_PAD.encode(self.fingerprint), s: self.secret.0.clone() };
        // Strings in a struct always serialise.
        let mut bytes = serde_json::to_vec(&inside).unwrap_or_default();
        bytes.extend(check(&bytes));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a code; white space around it and line breaks within (from mail programs) do not matter.
    pub fn parse(text: &str) -> Result<Code, InvalidCode> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).take(CODE_BYTES + 1).collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidCode::NotACode)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidCode::Mistyped)?;
        let (json, sum) =
            bytes.split_at_checked(bytes.len().saturating_sub(CHECK_BYTES)).ok_or(InvalidCode::Mistyped)?;
        if check(json) != sum {
            return Err(InvalidCode::Mistyped);
        }
        let inside: Inside = serde_json::from_slice(json).map_err(|_| InvalidCode::Mistyped)?;
        let fingerprint = URL_SAFE_NO_PAD.decode(inside.f).map_err(|_| InvalidCode::Mistyped)?;
        Ok(Code {
            addresses: inside.a,
            fingerprint: fingerprint.try_into().map_err(|_| InvalidCode::Mistyped)?,
            secret: Secret(inside.s),
        })
    }
}

/// A gateway asks for its first certificate, or for another after the last was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The code's secret.
    pub secret: Secret,
    /// The signing request (PKCS#10, PEM). Only its public key is used.
    pub csr_pem: String,
}

/// A gateway asks for a certificate for a new key, showing the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// See [`EnrolRequest::csr_pem`].
    pub csr_pem: String,
}

/// A certificate for a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// The gateway's certificate (PEM).
    pub certificate_pem: String,
    /// The authority's certificate (PEM), with which every server of the center is verified.
    pub authority_pem: String,
    /// Where the center listens now.
    pub addresses: Vec<String>,
    /// Who the gateway is.
    pub enterprise: EnterpriseId,
    /// Its name there; given by the center's operator with the code.
    pub gateway: GatewayName,
    /// The enterprise's display name.
    pub display: DisplayName,
}

/// The body of every HTTP answer that refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpError {
    /// Why.
    pub condition: Condition,
    /// The same in words, with what to do.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Code {
        Code {
            addresses: vec!["192.0.2.1:7100".into(), "[2001:db8::1]:7100".into()],
            fingerprint: [7; 32],
            secret: Secret("s3cret".into()),
        }
    }

    #[test]
    fn comes_back_as_it_went_also_through_a_mail_program() {
        let line = code().encode();
        assert_eq!(Code::parse(&line), Ok(code()));
        let (a, b) = line.split_at(40);
        assert_eq!(Code::parse(&format!("  {a}\n{b}\r\n")), Ok(code()));
    }

    #[test]
    fn every_single_typing_error_is_found() {
        let line = code().encode();
        for at in PREFIX.len()..line.len() {
            let mut wrong = line.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(Code::parse(&String::from_utf8(wrong).unwrap()), Err(InvalidCode::Mistyped), "at {at}");
        }
        assert_eq!(Code::parse(&line[..line.len() - 3]), Err(InvalidCode::Mistyped));
        assert_eq!(Code::parse("hello"), Err(InvalidCode::NotACode));
        assert_eq!(Code::parse(PREFIX), Err(InvalidCode::Mistyped));
    }

    #[test]
    fn the_secret_does_not_show_itself() {
        assert!(!format!("{:?}", code()).contains("s3cret"));
    }
}
