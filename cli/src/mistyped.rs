//! What is a command line told that cannot be read, beyond what its parser knows to say?

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Command as Grammar, CommandFactory, Parser};

use crate::arguments::{Arguments, Command, Demo};

/// Why a command line is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Mistyped {
    /// A program for a pod without the dashes that keep its options apart from ours.
    #[error("put -- before the command: ambit demo exec {pod} -- {command}")]
    Dashes {
        /// The pod.
        pod: String,
        /// The program; with an ellipsis when it has arguments.
        command: String,
    },
    /// Anything else, requests for help among it, in the parser's words.
    #[error(transparent)]
    Other(clap::Error),
}

/// Reads a command line whose first word is this program's name.
pub fn read(words: &[OsString]) -> Result<Arguments, Mistyped> {
    let mut error = match Arguments::try_parse_from(words) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if error.use_stderr() {
        if let Some(dashes) = forgotten_dashes(words) {
            return Err(dashes);
        }
        suggest_no_hidden_command(&mut error);
    }
    Err(Mistyped::Other(error))
}

/// The command line, if dashes at one place make it one that runs a program in a pod.
fn forgotten_dashes(words: &[OsString]) -> Option<Mistyped> {
    let exec = words.iter().position(|word| word == "exec")?;
    let candidates = exec + 2..words.len();
    // An option is rather one of ours than the program's name.
    let mut candidates = candidates.filter(|at| !words[*at].as_encoded_bytes().starts_with(b"-"));
    candidates.find_map(|at| {
        let (ours, program) = words.split_at(at);
        let mended = ours.iter().cloned().chain(["--".into()]).chain(program.iter().cloned());
        let Command::Demo(demo) = Arguments::try_parse_from(mended).ok()?.command else { return None };
        let Some(Demo::Exec { pod, command }) = demo.command else { return None };
        let (first, rest) = command.split_first()?;
        let command = if rest.is_empty() { first.clone() } else { format!("{first} …") };
        Some(Mistyped::Dashes { pod, command })
    })
}

/// Takes what is not for users out of the commands that resemble a misspelt one.
fn suggest_no_hidden_command(error: &mut clap::Error) {
    let mut hidden = Vec::new();
    collect_hidden(&Arguments::command(), &mut hidden);
    let similar = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(name)) => vec![name],
        Some(ContextValue::Strings(names)) => names,
        _ => return,
    };
    let similar: Vec<_> = similar.into_iter().filter(|name| !hidden.contains(name)).collect();
    if !similar.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(similar));
    }
}

fn collect_hidden(grammar: &Grammar, hidden: &mut Vec<String>) {
    for command in grammar.get_subcommands() {
        if command.is_hide_set() {
            hidden.push(command.get_name().to_owned());
        }
        collect_hidden(command, hidden);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        read(&words).unwrap_err().to_string()
    }

    #[test]
    fn forgotten_dashes_are_named() {
        let mended = "put -- before the command: ambit demo exec web -- curl …";
        for line in [
            "ambit demo exec web curl http://cart/items",
            "ambit demo exec web curl -s http://cart/items",
            "ambit demo exec --dir /tmp/x web curl -s",
            "ambit demo exec web --dir /tmp/x curl -s",
        ] {
            assert_eq!(said(line), mended, "{line}");
        }
        assert_eq!(said("ambit demo exec web sh"), "put -- before the command: ambit demo exec web -- sh");
    }

    #[test]
    fn other_mistakes_are_left_to_the_parser() {
        for line in ["ambit demo exec web", "ambit demo exec", "ambit exec web true", "ambit demo status web"]
        {
            assert!(!said(line).contains("put --"), "{line}: {}", said(line));
        }
        assert!(said("ambit demo exec --help").contains("Usage:"));
    }

    #[test]
    fn only_commands_for_users_are_suggested() {
        let similar = said("ambit demo statsu");
        assert!(similar.contains("'status'") && !similar.contains("stage"), "{similar}");
        for line in ["ambit demo sweap", "ambit shp"] {
            let said = said(line);
            assert!(!said.contains("'sweep'") && !said.contains("'shop'"), "{said}");
        }
    }

    #[test]
    fn a_right_command_line_is_read() {
        let words = ["ambit", "demo", "exec", "web", "--", "curl"].map(OsString::from);
        assert!(matches!(read(&words).unwrap().command, Command::Demo(_)));
    }
}
