//! The command line.
//!
//! In: arguments. Out: what a person reads, or (`--json`) what a program reads, on standard output; everything else, and
//! all logs, on standard error. Never here: what the commands do.

mod show;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use intergroup_redis::Files;
use intergroup_schemas::ids::{DisplayName, EnterpriseId, GatewayId, GatewayName, GroupNumber, ListVersion};
use intergroup_schemas::list::AccountRow;
use tracing_subscriber::EnvFilter;

use crate::admin::{self, Answer, Ask};
use crate::app;
use crate::bundle::Bundle;
use crate::config::{Config, DEFAULT_LISTEN, Dir, Rates, Retention};
use crate::hub::AdminReply;

#[derive(Debug, Parser)]
#[command(name = "intergroup-center", version, about = "The hub of Intergroup: enterprises, groups, logs and fan-out")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Where {
    /// The center's directory
    #[arg(long, env = "INTERGROUP_CENTER_DIR", value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    at: Where,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a center: its certificate authority, its configuration and its store; or another node of a center
    Init {
        #[command(flatten)]
        common: Common,
        /// What people call it
        #[arg(long, required_unless_present = "join")]
        name: Option<String>,
        /// Make another node of a center, out of the file that its `bundle` has written, or out of standard input (-)
        #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "store"])]
        join: Option<PathBuf>,
        /// HOST:PORT to listen on; may be given several times
        #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN)]
        listen: Vec<String>,
        /// HOST:PORT that gateways dial, where it differs from --listen; may be given several times
        #[arg(long, value_name = "ADDR")]
        address: Vec<String>,
        /// A Redis that is to keep everything, instead of a file in the directory: redis://HOST:PORT, rediss://HOST:PORT (TLS),
        /// redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT; never with a password in it
        #[arg(long, value_name = "ADDRESS")]
        store: Option<String>,
        /// A file with the password of that Redis, which is copied into the directory
        #[arg(long, requires = "store", value_name = "FILE")]
        store_password_file: Option<PathBuf>,
        /// A file with the certificates (PEM) that a Redis on TLS is trusted by, instead of the system's; copied, too
        #[arg(long, requires = "store", value_name = "FILE")]
        store_ca_file: Option<PathBuf>,
    },
    /// Run the center
    Serve {
        #[command(flatten)]
        at: Where,
    },
    /// Write what another node of this center needs to standard output, its authority's key included: for a pipe to `init --join -`
    Bundle {
        #[command(flatten)]
        at: Where,
    },
    /// Enterprises and their enrolment codes
    #[command(subcommand)]
    Enterprise(Enterprise),
    /// Groups
    #[command(subcommand)]
    Group(Group),
    /// The people of groups; each enterprise edits its own at its gateway
    #[command(subcommand)]
    Member(Member),
    /// Every figure of the running center
    Status {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Code {
    /// The enterprise's id: 1 to 32 of a-z, 0-9 and -
    id: EnterpriseId,
    /// The gateway that the code makes
    #[arg(long, default_value = "main")]
    gateway: GatewayName,
    /// Minutes for which the code is good, instead of 3 days; 0 only withdraws a code that was given before
    #[arg(long)]
    minutes: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct One {
    /// The enterprise's id
    id: EnterpriseId,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Enterprise {
    /// Make an enterprise and print the enrolment code of its gateway
    Add {
        #[command(flatten)]
        code: Code,
        /// What people call it; its id by default
        #[arg(long)]
        display: Option<DisplayName>,
    },
    /// Print another enrolment code: for another gateway, or for one that lost its certificate
    Code(Code),
    /// All enterprises
    List {
        #[command(flatten)]
        common: Common,
    },
    /// One enterprise
    Show(One),
    /// End its links and let it connect no more until it is resumed; nothing is lost meanwhile
    Suspend(One),
    /// Let it connect again
    Resume(One),
    /// End all its memberships and let it connect never again
    Remove(One),
}

#[derive(Debug, Args)]
struct Number {
    /// The group's number
    number: GroupNumber,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Group {
    /// All groups
    List {
        #[command(flatten)]
        common: Common,
    },
    /// One group
    Show(Number),
    /// End a group for all its members
    Delete(Number),
}

#[derive(Debug, Subcommand)]
enum Member {
    /// Everybody on the user list of a group
    List(Number),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    match perform(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> Result<()> {
    let (common, ask) = match command {
        Command::Init { common, join: Some(bundle), listen, address, .. } => {
            let (dir, bundle) = (Dir(common.at.dir), Bundle::take(&bundle)?);
            let config = bundle.config(listen, address);
            app::join(&dir, &bundle, &config)?;
            show::made(&dir, &config, common.json);
            return Ok(());
        }
        Command::Bundle { at } => return Bundle::of(&Dir(at.dir))?.print(),
        Command::Init { common, name, listen, address, store, store_password_file, store_ca_file, .. } => {
            let dir = Dir(common.at.dir);
            let name = name.unwrap_or_default();
            let (retention, rates) = (Retention::default(), Rates::default());
            let config = Config { name, listen, addresses: address, store, retention, rates };
            let files = Files { password: store_password_file, authorities: store_ca_file };
            app::init(&dir, &config, &files)?;
            show::made(&dir, &config, common.json);
            return Ok(());
        }
        Command::Serve { at } => {
            log();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let served = runtime.block_on(app::serve(&Dir(at.dir)));
            // Whoever still speaks is not waited for: everything that was accepted is on disk.
            runtime.shutdown_background();
            return served;
        }
        Command::Enterprise(enterprise) => match enterprise {
            Enterprise::Add { code, display } => code.ask(display, false),
            Enterprise::Code(code) => code.ask(None, true),
            Enterprise::List { common } => (common, Ask::Enterprises),
            Enterprise::Show(one) => (one.common, Ask::Enterprise(one.id)),
            Enterprise::Suspend(one) => (one.common, Ask::Suspend(one.id)),
            Enterprise::Resume(one) => (one.common, Ask::Resume(one.id)),
            Enterprise::Remove(one) => (one.common, Ask::Remove(one.id)),
        },
        Command::Group(group) => match group {
            Group::List { common } => (common, Ask::Groups),
            Group::Show(one) => (one.common, Ask::Group(one.number)),
            Group::Delete(one) => (one.common, Ask::DeleteGroup(one.number)),
        },
        Command::Member(Member::List(one)) => {
            let rows = members(&Dir(one.common.at.dir), one.number)?;
            show::members(&rows, one.common.json);
            return Ok(());
        }
        Command::Status { common } => (common, Ask::Status),
    };
    let one = matches!(ask, Ask::Enterprise(_) | Ask::Group(_));
    let answer = admin::ask(&Dir(common.at.dir), &ask)?;
    show::answer(answer, common.json, one)
}

/// Everybody on a list, by account: page after page.
fn members(dir: &Dir, group: GroupNumber) -> Result<Vec<AccountRow>> {
    let mut rows = BTreeMap::new();
    let (mut since, mut after) = (ListVersion(0), None);
    loop {
        let page = match admin::ask(dir, &Ask::Members { group, since, after })? {
            Answer::Reply(AdminReply::Members(page)) => page,
            Answer::Reply(AdminReply::Refused { text, .. }) => bail!("{text}"),
            _ => bail!("the center answered something else"),
        };
        let last = page.rows.last().map(|row| (row.version, row.account.clone()));
        rows.extend(page.rows.into_iter().map(|row| (row.account.clone(), row)));
        match last.filter(|_| page.more) {
            Some((version, account)) => (since, after) = (version, Some(account)),
            None => return Ok(rows.into_values().filter(|row| row.listed.is_some()).collect()),
        }
    }
}

impl Code {
    fn ask(self, display: Option<DisplayName>, again: bool) -> (Common, Ask) {
        let gateway = GatewayId { enterprise: self.id, gateway: self.gateway };
        (self.common, Ask::Code { gateway, display, minutes: self.minutes, again })
    }
}

/// Logs to standard error; `RUST_LOG` chooses what.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_readme_are_understood() {
        for line in [
            "init --dir /d --name Hub --listen 192.0.2.10:7100 --listen 198.51.100.7:7100",
            "init --dir /d --name Hub --store redis://127.0.0.1:6379 --store-password-file /p --store-ca-file /c",
            "serve --dir /d",
            "bundle --dir /d",
            "init --join - --dir /d --listen 198.51.100.7:7100",
            "enterprise add acme --display Acme --dir /d",
            "enterprise add acme --display Acme --gateway main --dir /d --json",
            "enterprise list --dir /d",
            "group delete 10001 --dir /d",
            "member list 10001 --dir /d --json",
            "status --dir /d --json",
        ] {
            let words = std::iter::once("intergroup-center").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
