//! Whoever must stay out stays out and is told why; what is broken ends its own link and no other.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use intergroup_schemas::conditions::Condition;
use intergroup_schemas::ids::Seq;
use intergroup_schemas::limits;
use intergroup_schemas::link::{Relay, ToCenter, ToGateway, VERSION};
use intergroup_tests::link_client::{CenterProcess, Identity, LinkClient, enrol, relay, renew};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType, date_time_ymd};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::talk::two;

async fn open(identity: &Identity) -> Result<LinkClient> {
    LinkClient::open(identity, identity.reply.addresses.first().context("an address")?).await
}

fn text<T>(result: Result<T>) -> String {
    result.err().map(|e| format!("{e:#}")).unwrap_or_default()
}

#[tokio::test]
async fn a_code_works_once_and_enrolling_again_puts_the_old_certificate_out() -> Result<()> {
    let center = CenterProcess::start()?;
    let code = center.run(&["enterprise", "add", "acme", "--display", "Acme Inc"])?;
    assert_eq!(code.lines().count(), 1, "the code alone is on standard output");
    let first = enrol(&code).await?;
    assert_eq!((first.reply.enterprise.as_str(), first.reply.gateway.as_str()), ("acme", "main"));
    assert_eq!(first.reply.display.as_str(), "Acme Inc");
    assert!(text(enrol(&code).await).starts_with("bad-code"));
    let (mut link, _) = LinkClient::greet(&first, Vec::new()).await?;
    let code = center.json(&["enterprise", "code", "acme"])?;
    let second = enrol(code["code"].as_str().context("a code")?).await?;
    assert_eq!(link.bye().await?, Condition::BadCertificate);
    assert_eq!(open(&first).await?.bye().await?, Condition::BadCertificate);
    LinkClient::greet(&second, Vec::new()).await?;
    Ok(())
}

#[tokio::test]
async fn a_renewal_needs_the_present_certificate_and_ends_it_with_its_first_use() -> Result<()> {
    let center = CenterProcess::start()?;
    let first = center.enrol("acme").await?;
    assert!(text(renew(&first, false).await).starts_with("bad-certificate"));
    let second = renew(&first, true).await?;
    LinkClient::greet(&first, Vec::new()).await?;
    LinkClient::greet(&second, Vec::new()).await?;
    assert_eq!(open(&first).await?.bye().await?, Condition::BadCertificate);
    assert!(text(renew(&first, true).await).starts_with("bad-certificate"));
    Ok(())
}

/// The same gateway with a certificate of the center's authority that is valid for the time given, in seconds since 1970.
fn certified(center: &CenterProcess, identity: &Identity, from_s: u64, to_s: u64) -> Result<Identity> {
    let read = |name: &str| std::fs::read_to_string(center.dir().join(name));
    let issuer = Issuer::from_ca_cert_pem(&read("authority.pem")?, KeyPair::from_pem(&read("authority.key")?)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("intergroup:acme/main".try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let at = |s: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(s);
    (params.not_before, params.not_after) = (at(from_s), at(to_s));
    let mut certified = identity.clone();
    certified.reply.certificate_pem = params.signed_by(&key, &issuer)?.pem();
    certified.key_pem = key.serialize_pem();
    Ok(certified)
}

#[tokio::test]
async fn an_ended_certificate_is_told_so_and_a_strange_one_gets_nowhere() -> Result<()> {
    let (center, other) = (CenterProcess::start()?, CenterProcess::start()?);
    let good = center.enrol("acme").await?;
    let ended = certified(&center, &good, 1_577_836_800, 1_583_020_800)?;
    let refused = text(open(&ended).await);
    assert!(refused.contains("403") && refused.contains("bad-certificate"), "{refused}");

    let mut strange = other.enrol("acme").await?;
    strange.reply.authority_pem.clone_from(&good.reply.authority_pem);
    strange.reply.addresses.clone_from(&good.reply.addresses);
    assert!(open(&strange).await.is_err());
    LinkClient::greet(&good, Vec::new()).await?;
    Ok(())
}

/// What the center knows a gateway by is the fingerprint of its certificate: a copy that ends soon is put in its place.
fn know(center: &CenterProcess, identity: &Identity) -> Result<()> {
    let certificate = CertificateDer::from_pem_slice(identity.reply.certificate_pem.as_bytes())?;
    let fingerprint = digest(&SHA256, &certificate);
    let db = rusqlite::Connection::open(center.dir().join("center.db"))?;
    let changed = db.execute("UPDATE gateway SET certificate = ?1 WHERE id = 'acme/main'", [fingerprint.as_ref()])?;
    anyhow::ensure!(changed == 1, "the gateway's row");
    Ok(())
}

#[tokio::test]
async fn a_link_ends_with_the_certificate_that_it_was_opened_with() -> Result<()> {
    let mut center = CenterProcess::start()?;
    let good = center.enrol("acme").await?;
    // However slow the machine is, one of these is long enough to come up with.
    for seconds in [2, 8, 32, 128] {
        center.terminate()?;
        let now_s = UNIX_EPOCH.elapsed()?.as_secs();
        let brief = certified(&center, &good, now_s - 60, now_s + seconds)?;
        know(&center, &brief)?;
        center.serve()?;
        if let Ok((mut link, _)) = LinkClient::greet(&brief, Vec::new()).await {
            assert_eq!(link.bye().await?, Condition::BadCertificate);
            let refused = text(open(&brief).await);
            assert!(refused.contains("403") && refused.contains("enrol again"), "{refused}");
            return Ok(());
        }
    }
    anyhow::bail!("no link came up before its certificate had ended")
}

#[tokio::test]
async fn a_suspended_enterprise_is_out_at_once_and_the_others_go_on() -> Result<()> {
    let center = CenterProcess::start()?;
    let (group, [_, globex], [mut a, mut b]) = two(&center).await?;
    center.run(&["enterprise", "suspend", "globex"])?;
    assert_eq!(b.bye().await?, Condition::Suspended);
    assert_eq!(open(&globex).await?.bye().await?, Condition::Suspended);
    assert!(text(renew(&globex, true).await).starts_with("suspended"));
    a.send(&ToCenter::Relay(relay(group, "k7", 1, "meanwhile"))).await?;
    a.decided(1).await?;
    center.run(&["enterprise", "resume", "globex"])?;
    let (mut b, _) = LinkClient::greet(&globex, Vec::new()).await?;
    b.resume(group, Seq(2)).await?;
    assert_eq!(b.delivered().await?.key.to_string(), "k7.1");
    center.run(&["enterprise", "remove", "globex"])?;
    assert_eq!(b.bye().await?, Condition::Removed);
    assert_eq!(open(&globex).await?.bye().await?, Condition::Removed);
    assert!(text(center.run(&["enterprise", "add", "globex"])).contains("not used again"));
    Ok(())
}

#[tokio::test]
async fn what_is_broken_ends_its_own_link_with_a_reason_and_no_other() -> Result<()> {
    let center = CenterProcess::start()?;
    let (group, [_, globex], [mut a, b]) = two(&center).await?;
    drop(b);
    let broken = [
        ("<hello".to_owned(), Condition::Malformed),
        ("<hello xmlns='urn:other'/>".to_owned(), Condition::BadRequest),
        ("x".repeat(limits::FRAME_BYTES + 1), Condition::TooLarge),
    ];
    for (frame, condition) in broken {
        let mut link = open(&globex).await?;
        link.send_text(frame).await?;
        assert_eq!(link.bye().await?, condition);
    }
    let mut link = open(&globex).await?;
    assert!(text(link.hello(0, Vec::new()).await).contains("UnsupportedVersion"));
    let mut link = open(&globex).await?;
    link.send(&ToCenter::Relay(relay(group, "kb", 1, "before hello"))).await?;
    assert_eq!(link.bye().await?, Condition::BadRequest);

    // A payload that is not sound is refused alone: its link and all others go on.
    let mut link = open(&globex).await?;
    link.hello(VERSION, Vec::new()).await?;
    for (n, payload, condition) in [
        (1, "<body>".into(), Condition::Malformed),
        (2, format!("<body>{}</body>", "x".repeat(limits::PAYLOAD_BYTES)), Condition::TooLarge),
    ] {
        let sound = Relay { payload: "<body/>".into(), ..relay(group, "kb", n, "") };
        let frame = intergroup_schemas::link::encode::to_center(&ToCenter::Relay(sound)).replace("<body/>", &payload);
        link.send_text(frame).await?;
        let refused = link.until(|s| match s {
            ToGateway::Decided(d) if d.n.0 == n => d.refused.last().map(|(_, c)| *c),
            _ => None,
        });
        assert_eq!(refused.await?, condition);
    }
    link.send(&ToCenter::Relay(relay(group, "kb", 3, "sound"))).await?;
    assert_eq!(a.delivered().await?.key.to_string(), "kb.3");
    let counters = &center.json(&["status"])?["counters"];
    for condition in ["malformed", "bad-request", "too-large", "unsupported-version"] {
        let count = |table: &str| counters[table][condition].as_u64().unwrap_or(0);
        assert!(count("refused") + count("closed") > 0, "{condition} is counted: {counters}");
    }
    Ok(())
}
