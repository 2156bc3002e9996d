//! What a command reads from whoever runs it.

use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use secrecy::SecretString;

use super::Failure;

/// More than any password; a wrong redirection should not fill the memory.
const LONGEST_PASSWORD_LINE: u64 = 4096;
/// How long nothing may come on standard input until it is told what is waited for, and until it is waited no more.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_mins(1)];

/// Asks on the terminal whether to go on. Without a terminal nobody can answer.
pub(super) fn confirm(what: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("this removes data: give --yes where nobody can be asked"));
    }
    write!(std::io::stderr(), "{what} Type yes to go on: ")?;
    let answer = first_line(std::io::stdin().lock())?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Other("nothing was changed".into())) }
}

/// The new password: typed twice at a terminal, else one line of standard input. Never an
/// argument, which every user of the machine could see.
pub(super) fn password() -> Result<SecretString, Failure> {
    let password = if std::io::stdin().is_terminal() {
        let ask = |prompt| {
            rpassword::prompt_password(prompt).map_err(|error| {
                let text = format!(
                    "the password cannot be asked for: {error}; give it as one line on standard input"
                );
                Failure::Other(text.into())
            })
        };
        let password = ask("Password: ")?;
        if ask("The same again: ")? != password {
            return Err(Failure::Other("the two passwords differ".into()));
        }
        password
    } else {
        piped_line()?
    };
    if password.is_empty() {
        return Err(Failure::Other("no password was given".into()));
    }
    Ok(SecretString::from(password))
}

/// The first line of standard input where that is no terminal. Nobody who forgot to give one waits for ever.
fn piped_line() -> Result<String, Failure> {
    let (send, receive) = mpsc::channel();
    // Ends with the process, if nothing ever comes.
    std::thread::spawn(move || send.send(first_line(std::io::stdin().lock())));
    let [soon, late] = PATIENCE;
    let mut line = receive.recv_timeout(soon);
    if line.is_err() {
        // Nothing is left to do when even this cannot be written.
        let _ = writeln!(
            std::io::stderr(),
            "daybook: waiting for the password, as one line on standard input"
        );
        line = receive.recv_timeout(late);
    }
    match line {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(Failure::Other(
            format!("the password cannot be read from standard input: {error}").into(),
        )),
        Err(_) => Err(Failure::Usage("no password came on standard input: give it as one line")),
    }
}

/// The first line without its end.
pub(super) fn first_line(input: impl std::io::BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    let length = input.take(LONGEST_PASSWORD_LINE).read_line(&mut line)?;
    if length as u64 == LONGEST_PASSWORD_LINE {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "the password is too long"));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}
