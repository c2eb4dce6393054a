//! The greeting of a mail server, and what its clients answer (RFC 5321 §4.1.1.1, §4.2).

use super::prefix::{Miss, Parse, Prefix};
use super::text::{contains, is_text};

/// The code of a greeting, the domain of the server, and the name of the protocol: `220 mail.example.com ESMTP`, or
/// `220 smtp.example.com ready` and the end of the line.
///
/// Neither is in "220 people joined"; a domain without a dot is not taken for one.
pub(super) fn greeting(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(b"220")?;
    prefix.byte(|byte| byte == b' ' || byte == b'-')?;
    let domain = prefix.run(is_domain);
    match prefix.peek() {
        Err(Miss::Short) => return Err(Miss::Short),
        Ok(b' ' | b'\r') if looks_like_domain(domain) => {}
        Ok(_) | Err(Miss::Differs) => return Err(Miss::Differs),
    }
    if contains(prefix.run(is_text), b"smtp") {
        return Ok(());
    }
    prefix.literal(b"\r\n")?;
    if contains(domain, b"smtp") { Ok(()) } else { Err(Miss::Differs) }
}

/// `EHLO` or `LHLO` and one word, or `HELO` and a domain, and the end of the line. "HELO world" is somebody's greeting; nobody
/// but a mail client says the other two.
pub(super) fn hello(prefix: &mut Prefix<'_>) -> Parse<()> {
    let first = prefix.byte(|byte| b"EHLehl".contains(&byte))?;
    let is_helo = first.eq_ignore_ascii_case(&b'H');
    prefix.literal_in_any_case(if is_helo { b"ELO " } else { b"HLO " })?;
    let domain = prefix.until(b'\r', is_domain, 1)?;
    if domain.is_empty() || (is_helo && !looks_like_domain(domain)) {
        return Err(Miss::Differs);
    }
    prefix.literal(b"\n")
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

/// Says whether a word is an address in brackets, `localhost`, or a domain that ends in a label with a letter.
fn looks_like_domain(word: &[u8]) -> bool {
    let mut labels = word.rsplit(|byte| *byte == b'.');
    let ends_in_letters =
        labels.next().is_some_and(|label| label.len() > 1 && label.iter().any(u8::is_ascii_alphabetic));
    let has_more = labels.next().is_some_and(|label| !label.is_empty());
    (word.starts_with(b"[") && word.ends_with(b"]"))
        || word.eq_ignore_ascii_case(b"localhost")
        || (ends_in_letters && has_more)
}
