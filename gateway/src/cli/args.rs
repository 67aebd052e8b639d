//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use intergroup_schemas::ids::{EnterpriseId, GroupNumber};

use crate::config::Dir;
use crate::store::{Offline, Source};

/// Bridges rooms of your own XMPP server to groups that span companies.
#[derive(Debug, Parser)]
#[command(name = "intergroup-gateway", version, about)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Common {
    /// The gateway's directory
    #[arg(long, global = true, env = "INTERGROUP_GATEWAY_DIR", default_value = "/var/lib/intergroup-gateway")]
    dir: PathBuf,
    /// Print one line of JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Wait for at most so many seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) wait: u64,
}

impl Common {
    pub(super) fn dir(&self) -> Dir {
        Dir(self.dir.clone())
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a gateway in its directory; asks for what is missing
    Init(Init),
    /// Get a certificate from the center, with the code that its operator gave you
    Enroll {
        /// The code; `-`, or nothing, reads it from standard input, so that it does not show in the list of processes
        code: Option<String>,
    },
    /// Run the gateway
    Serve,
    /// How the gateway is
    Status,
    /// Groups
    #[command(subcommand)]
    Group(Group),
    /// The people of groups: who may speak and read in them, by name
    #[command(subcommand)]
    Member(Member),
    /// Map a room to a group that this gateway belongs to
    Map {
        /// The group's number
        group: GroupNumber,
        /// The room: its name, or its address
        #[arg(long)]
        room: String,
        /// Where this company's people on the user list come from; by default affiliations in a room for members only, and
        /// occupants in any other
        #[arg(long, value_enum)]
        members: Option<SourceName>,
    },
    /// End the mapping of a group; membership stays
    Unmap {
        /// The group's number
        group: GroupNumber,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Make a group and map a room to it; prints its number
    Create {
        /// What people call it
        name: String,
        /// The room: its name, or its address
        #[arg(long)]
        room: String,
        /// Where this company's people on the user list come from; by default affiliations in a room for members only, and
        /// occupants in any other
        #[arg(long, value_enum)]
        members: Option<SourceName>,
    },
    /// Join a group and map a room to it
    Join {
        /// The group's number
        group: GroupNumber,
        /// The room: its name, or its address
        #[arg(long)]
        room: String,
        /// Where this company's people on the user list come from; by default affiliations in a room for members only, and
        /// occupants in any other
        #[arg(long, value_enum)]
        members: Option<SourceName>,
    },
    /// Allow an enterprise to join (the owner only)
    Allow {
        /// The group's number
        group: GroupNumber,
        /// The enterprise's id at the center
        enterprise: EnterpriseId,
    },
    /// Change where this company's people on a group's user list come from
    Members {
        /// The group's number
        group: GroupNumber,
        /// From where
        #[arg(value_enum)]
        members: SourceName,
    },
    /// How members get what was said while they were not in the room; alone, who has missed what
    Offline {
        /// The group's number
        group: GroupNumber,
        /// From now on so
        #[arg(value_enum)]
        how: Option<OfflineName>,
    },
    /// Leave a group, after everything said in its room has gone out
    Leave {
        /// The group's number
        group: GroupNumber,
    },
    /// All groups that this enterprise owns, belongs to or may join
    List,
    /// One group
    Show {
        /// The group's number
        group: GroupNumber,
    },
    /// Change what a group says of itself (the owner only); what is not given stays as it is
    #[command(group = clap::ArgGroup::new("changes").required(true).multiple(true))]
    Describe {
        /// The group's number
        group: GroupNumber,
        /// What people call it
        #[arg(long, group = "changes")]
        name: Option<String>,
        /// What it is for; empty for nothing
        #[arg(long, group = "changes")]
        description: Option<String>,
        /// What is being talked about; empty for nothing
        #[arg(long, group = "changes")]
        subject: Option<String>,
        /// Who may speak
        #[arg(long, value_enum, group = "changes")]
        policy: Option<PolicyName>,
    },
    /// Give a group to another member enterprise (the owner only)
    Transfer {
        /// The group's number
        group: GroupNumber,
        /// The owner to be: an enterprise's id at the center
        enterprise: EnterpriseId,
    },
    /// End a group for all (the owner only)
    Delete {
        /// The group's number
        group: GroupNumber,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Member {
    /// Everybody on a group's user list, of all companies
    List {
        /// The group's number
        group: GroupNumber,
    },
    /// Put a person of this company on a group's user list
    Add {
        /// The group's number
        group: GroupNumber,
        /// A user name, or a JID of one of the company's domains
        person: String,
        /// What people call the person; the user name by default
        #[arg(long)]
        display: Option<String>,
        /// Read and speak, or read only
        #[arg(long, value_enum, default_value_t = RoleName::Speak)]
        role: RoleName,
    },
    /// Change what a person on a group's user list may do
    Role {
        /// The group's number
        group: GroupNumber,
        /// A user name, or a JID of one of the company's domains
        person: String,
        /// Read and speak, or read only
        #[arg(value_enum)]
        role: RoleName,
    },
    /// Take a person off a group's user list
    Remove {
        /// The group's number
        group: GroupNumber,
        /// A user name, or a JID of one of the company's domains
        person: String,
    },
    /// Put everybody in a file on a group's user list: a person a line, as PERSON,DISPLAY NAME,ROLE; the last two may be missing
    Import {
        /// The group's number
        group: GroupNumber,
        /// The file
        file: PathBuf,
    },
}

/// Where a company's people on a user list come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SourceName {
    /// Members, admins and owners of the room, and the room is for them alone
    Affiliations,
    /// Whoever enters the room, until banned, removed, or not seen for some days
    Occupants,
    /// Whom `member add` and `member import` name, and the room is for them alone
    Explicit,
}

impl From<SourceName> for Source {
    fn from(name: SourceName) -> Self {
        match name {
            SourceName::Affiliations => Source::Affiliations,
            SourceName::Occupants => Source::Occupants,
            SourceName::Explicit => Source::Explicit,
        }
    }
}

/// How members get what was said while they were not in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OfflineName {
    /// From the room's archive, which their clients read; the default where the room has one
    Archive,
    /// From a queue that the gateway keeps, when they are back; the default where the room has no archive
    Queue,
    /// At once, at their own addresses, from the group's number: their server keeps it for them
    Inbox,
}

impl From<OfflineName> for Offline {
    fn from(name: OfflineName) -> Self {
        match name {
            OfflineName::Archive => Offline::Archive,
            OfflineName::Queue => Offline::Queue,
            OfflineName::Inbox => Offline::Inbox,
        }
    }
}

/// Who may speak in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PolicyName {
    /// Everybody on the list whose role lets them
    Open,
    /// Of those only the people of the company that owns the group
    Announcements,
}

/// What a person on a list may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RoleName {
    /// Read and speak
    Speak,
    /// Read only
    ReadOnly,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Init {
    /// HOST:PORT of the server's component listener
    #[arg(long)]
    pub(super) server: Option<String>,
    /// The component's domain, as configured in the server
    #[arg(long)]
    pub(super) component: Option<String>,
    /// A file with the component's secret, which is copied into the directory
    #[arg(long)]
    pub(super) secret_file: Option<PathBuf>,
    /// The domain of the server's room service
    #[arg(long)]
    pub(super) rooms: Option<String>,
    /// A domain of the enterprise's accounts; may be given several times, the main one first
    #[arg(long = "domain")]
    pub(super) domains: Vec<String>,
    /// The nick of the gateway's own occupant
    #[arg(long)]
    pub(super) nick: Option<String>,
    /// An HTTP proxy on the way to the center, `http://HOST:PORT`; one with a password goes into
    /// INTERGROUP_GATEWAY_PROXY, where it does not show in the list of processes
    #[arg(long)]
    pub(super) proxy: Option<String>,
    /// A Redis that is to keep everything, instead of a file in the directory: redis://HOST:PORT, rediss://HOST:PORT (TLS),
    /// redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT; never with a password in it
    #[arg(long, value_name = "ADDRESS")]
    pub(super) store: Option<String>,
    /// A file with the password of that Redis, which is copied into the directory
    #[arg(long, requires = "store")]
    pub(super) store_password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that a Redis on TLS is trusted by, instead of the system's; copied, too
    #[arg(long, requires = "store")]
    pub(super) store_ca_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("intergroup-gateway").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_the_readme_shows_is_understood() {
        let args = parse("group create Apollo --room apollo --json --dir /x").unwrap();
        assert!(args.common.json && args.common.dir().0.ends_with("x"));
        assert!(
            matches!(args.command, Command::Group(Group::Create { name, room, .. }) if name == "Apollo" && room == "apollo")
        );
        let args = parse("group allow 10001 globex").unwrap();
        assert!(matches!(args.command, Command::Group(Group::Allow { group: GroupNumber(10_001), .. })));
        assert!(matches!(parse("group join 10001 --room apollo").unwrap().command, Command::Group(Group::Join { .. })));
        assert!(matches!(parse("enroll - --dir /x").unwrap().command, Command::Enroll { code: Some(c) } if c == "-"));
        let join = parse("group join 10001 --room apollo --members explicit").unwrap().command;
        assert!(matches!(join, Command::Group(Group::Join { members: Some(SourceName::Explicit), .. })));
        let members = parse("group members 10001 occupants").unwrap().command;
        assert!(matches!(members, Command::Group(Group::Members { members: SourceName::Occupants, .. })));
        let offline = parse("group offline 10001 inbox").unwrap().command;
        assert!(matches!(offline, Command::Group(Group::Offline { how: Some(OfflineName::Inbox), .. })));
        assert!(matches!(parse("enroll").unwrap().command, Command::Enroll { code: None }));
        assert!(matches!(parse("map 1 --room a").unwrap().command, Command::Map { .. }));
        let args = parse("group describe 10001 --subject Launch --policy announcements").unwrap();
        let Command::Group(Group::Describe { name, subject, policy, .. }) = args.command else {
            panic!("not describe")
        };
        assert!(name.is_none() && subject.is_some() && policy == Some(PolicyName::Announcements));
        assert!(matches!(parse("group transfer 1 globex").unwrap().command, Command::Group(Group::Transfer { .. })));
        let add = parse("member add 10001 alice --display Alice --role read-only").unwrap().command;
        assert!(matches!(add, Command::Member(Member::Add { role: RoleName::ReadOnly, .. })));
        let role = parse("member role 10001 alice read-only").unwrap().command;
        assert!(matches!(role, Command::Member(Member::Role { role: RoleName::ReadOnly, .. })));
        assert!(matches!(parse("member import 10001 x.csv").unwrap().command, Command::Member(Member::Import { .. })));
        let args = parse(
            "init --dir /x --server 127.0.0.1:5347 --component groups.acme.example --secret-file /s --rooms r.example \
             --domain acme.example --domain acme.org",
        );
        let Command::Init(init) = args.unwrap().command else { panic!("not init") };
        assert_eq!(init.domains, ["acme.example", "acme.org"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "group",
            "group show",
            "group show ten",
            "group describe 1",
            "group allow 1 UPPER",
            "map 1",
            "status --wait 0",
            "dance",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
