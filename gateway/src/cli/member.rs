//! The commands about people on user lists.

use std::collections::BTreeMap;
use std::path::Path;

use intergroup_schemas::ids::{DisplayName, GroupNumber, ListVersion};
use intergroup_schemas::list::{Listed, Role};

use super::Exit;
use super::admin::{answer, perform, show};
use super::args::{Common, Member, RoleName};
use crate::bridge::PersonEdit;
use crate::control::{Answer, Members, Request};

/// Most people in one line to the daemon, which bounds its lines.
const PEOPLE: usize = 50;

pub(super) fn run(common: &Common, member: Member) -> Exit {
    let role = |name| match name {
        RoleName::Speak => Role::Speak,
        RoleName::ReadOnly => Role::ReadOnly,
    };
    match member {
        Member::List { group } => list(common, group),
        Member::Add { group, person, display, role: name } => match edit(person, display.as_deref(), role(name)) {
            Ok(person) => perform(common, &Request::Edit { group, people: vec![person] }),
            Err(why) => wrong(&why),
        },
        Member::Role { group, person, role: name } => {
            perform(common, &Request::Role { group, person, role: role(name) })
        }
        Member::Remove { group, person } => {
            perform(common, &Request::Edit { group, people: vec![PersonEdit { person, listed: None }] })
        }
        Member::Import { group, file } => match import(&file) {
            Ok(people) => upload(common, group, &people),
            Err(why) => wrong(&why),
        },
    }
}

fn wrong(why: &str) -> Exit {
    eprintln!("intergroup-gateway: {why}");
    Exit::Usage
}

fn edit(person: String, display: Option<&str>, role: Role) -> Result<PersonEdit, String> {
    let user = person.split('@').next().unwrap_or_default();
    let shown = display.map(str::trim).filter(|d| !d.is_empty()).unwrap_or(user);
    let display = DisplayName::neutral(shown).ok_or_else(|| format!("nothing of the name {shown:?} shows"))?;
    Ok(PersonEdit { person, listed: Some(Listed { display, role }) })
}

/// Everybody on a list: page after page, then by account.
fn list(common: &Common, group: GroupNumber) -> Exit {
    let (mut since, mut after, mut all) = (ListVersion(0), None, BTreeMap::new());
    let (request, page) = loop {
        let request = Request::Members { group, since, after };
        let mut page = match answer(common, &request) {
            Ok(Answer::Members(page)) => page,
            Ok(other) => {
                show(common, &request, &other);
                return Exit::Refused;
            }
            Err(exit) => return exit,
        };
        let last = page.rows.last().map(|row| (row.version, row.account.clone()));
        all.extend(page.rows.drain(..).map(|row| (row.account.clone(), row)));
        match last.filter(|_| page.more) {
            // The list that the gateway keeps is read by account alone.
            Some((version, account)) => {
                (since, after) = (if page.center_asked { version } else { ListVersion(0) }, Some(account));
            }
            None => break (request, page),
        }
    };
    let rows = all.into_values().filter(|row| row.listed.is_some()).collect();
    show(common, &request, &Answer::Members(Members { rows, more: false, ..page }));
    Exit::Ok
}

fn upload(common: &Common, group: GroupNumber, people: &[PersonEdit]) -> Exit {
    for some in people.chunks(PEOPLE) {
        let request = Request::Edit { group, people: some.to_vec() };
        match answer(common, &request) {
            Ok(Answer::Done) => {}
            Ok(other) => {
                show(common, &request, &other);
                return Exit::Refused;
            }
            Err(exit) => return exit,
        }
    }
    show(common, &Request::List, &Answer::Done);
    Exit::Ok
}

/// Reads a file; all of it or nothing, and the error names the line.
fn import(file: &Path) -> Result<Vec<PersonEdit>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(n, line)| entry(line).map_err(|why| format!("{}, line {}: {why}", file.display(), n + 1))).collect()
}

fn entry(line: &str) -> Result<PersonEdit, String> {
    let fields = fields(line)?;
    let (person, display, role) = match fields.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [person] => (person, None, "speak"),
        [person, display] => (person, Some(display), "speak"),
        [person, display, role] => (person, Some(display), role),
        _ => return Err("more than PERSON,DISPLAY NAME,ROLE".into()),
    };
    let role = match role.trim() {
        "" | "speak" => Role::Speak,
        "read-only" => Role::ReadOnly,
        other => return Err(format!("role {other:?} is neither speak nor read-only")),
    };
    if person.trim().is_empty() {
        return Err("nobody is named".into());
    }
    edit(person.trim().to_owned(), display, role)
}

/// The fields of a line (RFC 4180): one in quotes may hold commas, and quotes that are doubled.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    all.push(field);
    if quoted { Err("a quote is not closed".into()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_spreadsheets_write_them() {
        let read = |line: &str| {
            let PersonEdit { person, listed } = entry(line).unwrap();
            let listed = listed.unwrap();
            (person, listed.display.to_string(), listed.role)
        };
        let is = |person: &str, display: &str, role| (person.to_owned(), display.to_owned(), role);
        assert_eq!(read("alice"), is("alice", "alice", Role::Speak));
        assert_eq!(read("bob@eu.acme.example, Bob ,"), is("bob@eu.acme.example", "Bob", Role::Speak));
        assert_eq!(read("carol,\"Carol, the \"\"C\"\"\",read-only\r"), is("carol", "Carol, the \"C\"", Role::ReadOnly));
        assert_eq!(read("dave@acme.example,Da\u{202E}ve"), is("dave@acme.example", "Dave", Role::Speak));
        for bad in ["alice,Alice,king", "alice,Alice,speak,x", ",Alice", "alice,\"Alice", "alice,\u{200B}\u{FEFF}"] {
            assert!(entry(bad).is_err(), "{bad}");
        }
    }
}
