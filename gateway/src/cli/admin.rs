//! The commands that the running gateway performs.

use std::time::Duration;

use intergroup_schemas::list::Policy;

use super::args::{Command, Common, Group, PolicyName};
use super::{Exit, print};
use crate::bridge::AboutEdit;
use crate::control::{Answer, Failure, Request, ask};

pub(super) fn run(common: &Common, command: Command) -> Exit {
    if let Command::Member(member) = command {
        return super::member::run(common, member);
    }
    let Some(request) = request(command) else { return Exit::Usage };
    perform(common, &request)
}

/// Asks the daemon, and prints what it answers.
pub(super) fn perform(common: &Common, request: &Request) -> Exit {
    match answer(common, request) {
        Ok(answer) => {
            show(common, request, &answer);
            if matches!(answer, Answer::Refused { .. }) { Exit::Refused } else { Exit::Ok }
        }
        Err(exit) => exit,
    }
}

fn say(text: &str) {
    eprintln!("intergroup-gateway: {text}");
}

/// Prints an answer.
pub(super) fn show(common: &Common, request: &Request, answer: &Answer) {
    if common.json {
        match serde_json::to_string(answer) {
            Ok(line) => println!("{line}"),
            Err(e) => say(&e.to_string()),
        }
    } else if let Answer::Refused { condition, text } = answer {
        say(&condition.map_or_else(|| text.clone(), |c| format!("{}: {text}", c.as_str())));
    } else {
        print!("{}", print::text(request, answer));
    }
}

/// What the daemon answers; where it does not, that has been said.
pub(super) fn answer(common: &Common, request: &Request) -> Result<Answer, Exit> {
    let dir = common.dir();
    let path = dir.0.display();
    match ask(&dir.socket(), request, Duration::from_secs(common.wait)) {
        Ok(answer) => Ok(answer),
        Err(Failure::NotRunning) => {
            let hint =
                if dir.config().exists() { "start it with" } else { "make one with `intergroup-gateway init`, then" };
            say(&format!("no gateway is running in {path}; {hint} `intergroup-gateway serve --dir {path}`"));
            Err(Exit::NotRunning)
        }
        Err(Failure::Socket(e)) => {
            say(&format!("{}: {e} (only the user who runs the gateway, and root, may use it)", dir.socket().display()));
            Err(Exit::NotRunning)
        }
        Err(Failure::Timeout) => {
            say(&format!(
                "not done within {} s; the gateway goes on trying. `status` says what it waits for",
                common.wait
            ));
            Err(Exit::Later)
        }
        Err(Failure::NoAnswer(text)) => {
            say(&text);
            Err(Exit::Later)
        }
    }
}

/// What the daemon is asked; none for the commands that need no daemon.
fn request(command: Command) -> Option<Request> {
    Some(match command {
        Command::Init(_) | Command::Enroll { .. } | Command::Serve | Command::Member(_) => return None,
        Command::Status => Request::Status,
        Command::Map { group, room, members } => Request::Map { group, room, members: members.map(Into::into) },
        Command::Unmap { group } => Request::Unmap { group },
        Command::Group(Group::Create { name, room, members }) => {
            Request::Create { name, room, members: members.map(Into::into) }
        }
        Command::Group(Group::Join { group, room, members }) => {
            Request::Join { group, room, members: members.map(Into::into) }
        }
        Command::Group(Group::Members { group, members }) => Request::SetSource { group, members: members.into() },
        Command::Group(Group::Offline { group, how }) => Request::Offline { group, how: how.map(Into::into) },
        Command::Group(Group::Allow { group, enterprise }) => Request::Allow { group, enterprise },
        Command::Group(Group::Leave { group }) => Request::Leave { group },
        Command::Group(Group::List) => Request::List,
        Command::Group(Group::Show { group }) => Request::Show { group },
        Command::Group(Group::Describe { group, name, description, subject, policy }) => {
            let policy = policy.map(|policy| match policy {
                PolicyName::Open => Policy::Open,
                PolicyName::Announcements => Policy::Announcements,
            });
            Request::Describe { group, changes: AboutEdit { name, description, subject, policy } }
        }
        Command::Group(Group::Transfer { group, enterprise }) => Request::Transfer { group, enterprise },
        Command::Group(Group::Delete { group }) => Request::Delete { group },
    })
}
