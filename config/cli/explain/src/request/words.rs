//! The words of a command line as a POSIX shell reads them, and `$'…'` besides, which browsers write (Bash, "ANSI-C Quoting").

use super::NoRequest;

/// Returns the words of a command line.
///
/// # Errors
/// Says what is not closed, or that the line is one of the Windows command prompt.
pub(super) fn words(line: &str) -> Result<Vec<String>, NoRequest> {
    if line.contains("^\"") {
        let what = "is for the Windows command prompt; copy it as cURL (bash)";
        return Err(NoRequest(format!("the command line {what}")));
    }
    let plain = without_ansi_c(line)?;
    let unclosed = || NoRequest("a quote of the command line is not closed".to_owned());
    shlex::split(&plain).ok_or_else(unclosed)
}

/// Rewrites every `$'…'` as an ordinary quoted word, and joins lines that end in a backslash.
fn without_ansi_c(line: &str) -> Result<String, NoRequest> {
    let line = line.replace("\r\n", "\n");
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut quote = None;
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '$') if characters.peek() == Some(&'\'') => {
                characters.next();
                let text = ansi_c(&mut characters)?;
                plain.push_str(&format!("'{}'", text.replace('\'', r"'\''")));
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') if characters.peek() == Some(&'\n') => {
                characters.next();
                continue;
            }
            (None | Some('"'), '\\') => {
                plain.push(character);
                plain.extend(characters.next());
                continue;
            }
            _ => {}
        }
        plain.push(character);
    }
    Ok(plain)
}

/// Reads what is behind `$'` up to the closing quote.
fn ansi_c(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, NoRequest> {
    let mut text = String::new();
    let unclosed = || NoRequest("a quote $'…' of the command line is not closed".to_owned());
    loop {
        let character = characters.next().ok_or_else(unclosed)?;
        if character == '\'' {
            return Ok(text);
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        let escape = characters.next().ok_or_else(unclosed)?;
        match escape {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'x' => text.extend(code(characters, 2)),
            'u' => text.extend(code(characters, 4)),
            'U' => text.extend(code(characters, 8)),
            other => text.push(other),
        }
    }
}

/// Reads the character that up to `most` hexadecimal digits name.
fn code(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, most: usize) -> Option<char> {
    let mut number = 0_u32;
    for _ in 0..most {
        let Some(digit) = characters.peek().and_then(|character| character.to_digit(16)) else { break };
        characters.next();
        number = number.checked_mul(16)?.checked_add(digit)?;
    }
    char::from_u32(number)
}
