//! What a client of Redis sends first (Redis, "RESP protocol specification"): an array of strings, or a command in line.

use super::prefix::{Miss, Parse, Prefix};

/// The most words of a command that a server takes (proto-max-multibulk).
const MOST_WORDS: usize = 1024 * 1024;

/// The longest name of a command that is taken for one.
const LONGEST_COMMAND: usize = 32;

/// Commands in line without words of their own, and what INFO may be asked about.
const COMMANDS: [&[u8]; 23] = [
    b"PING\r\n",
    b"QUIT\r\n",
    b"HELLO 2\r\n",
    b"HELLO 3\r\n",
    b"INFO\r\n",
    b"INFO all\r\n",
    b"INFO clients\r\n",
    b"INFO cluster\r\n",
    b"INFO commandstats\r\n",
    b"INFO cpu\r\n",
    b"INFO default\r\n",
    b"INFO errorstats\r\n",
    b"INFO everything\r\n",
    b"INFO keyspace\r\n",
    b"INFO latencystats\r\n",
    b"INFO memory\r\n",
    b"INFO modules\r\n",
    b"INFO persistence\r\n",
    b"INFO replication\r\n",
    b"INFO server\r\n",
    b"INFO stats\r\n",
    WITH_PASSWORD,
    WITH_NAME_AND_PASSWORD,
];

/// The beginning of a line with a password, and of one with a name ahead of that.
const WITH_PASSWORD: &[u8] = b"AUTH ";
const WITH_NAME_AND_PASSWORD: &[u8] = b"HELLO 3 AUTH ";

/// The number of words, the length of the first, and a command of that length: `*1\r\n$4\r\nPING\r\n`.
pub(super) fn array(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(b"*")?;
    decimal(prefix, MOST_WORDS)?;
    prefix.literal(b"$")?;
    let len = decimal(prefix, LONGEST_COMMAND)?;
    prefix.has_room(len + 2)?;
    prefix.byte(|byte| byte.is_ascii_alphabetic())?;
    for _ in 1..len {
        prefix.byte(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))?;
    }
    prefix.literal(b"\r\n")
}

/// A command in line which is the whole of the first message, or two, one behind the other.
///
/// A chat may say "PING" too, and a terminal "info", so that no command is taken for one without the end of its line, in small
/// letters, with words that it does not have, or with any text behind it: NATS says `PING` ahead of other commands, and
/// `INFO {…}`. SELECT is left out, since "SELECT 1" is SQL. What Redis takes beside these evades this.
pub(super) fn inline(prefix: &mut Prefix<'_>) -> Parse<()> {
    command(prefix)?;
    match prefix.end_of_first_message() {
        Err(Miss::Differs) => command(prefix),
        decided => decided,
    }
}

fn command(prefix: &mut Prefix<'_>) -> Parse<()> {
    match prefix.one_of(&COMMANDS)? {
        WITH_PASSWORD => words(prefix, 1),
        WITH_NAME_AND_PASSWORD => words(prefix, 2),
        _ => Ok(()),
    }
}

/// One word or two, at least `least`, and the end of the line.
fn words(prefix: &mut Prefix<'_>, least: u8) -> Parse<()> {
    let mut word = 1;
    loop {
        prefix.byte(|byte| byte.is_ascii_graphic())?;
        prefix.run(|byte| byte.is_ascii_graphic());
        match prefix.byte(|byte| (byte == b'\r' && word >= least) || (byte == b' ' && word < 2))? {
            b'\r' => return prefix.literal(b"\n"),
            _ => word += 1,
        }
    }
}

/// A number from 1 to `most` without a leading zero, and the end of its line.
fn decimal(prefix: &mut Prefix<'_>, most: usize) -> Parse<usize> {
    let mut number = 0;
    loop {
        let may_follow = |digit: u8| {
            let longer = number * 10 + usize::from(digit.wrapping_sub(b'0'));
            digit.is_ascii_digit() && (1..=most).contains(&longer)
        };
        match prefix.byte(|byte| may_follow(byte) || (byte == b'\r' && number > 0))? {
            b'\r' => break,
            digit => number = number * 10 + usize::from(digit - b'0'),
        }
    }
    prefix.literal(b"\n")?;
    Ok(number)
}
