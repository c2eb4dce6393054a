//! Messages of one shape, as long as they may be.

use super::LONGEST;

/// Returns an array of as many items as there is room for.
pub(super) fn array(item: impl Fn(usize) -> String) -> String {
    filled("[", item, ",", "]", LONGEST)
}

/// Returns an array of the same item, over and over.
pub(super) fn array_of(item: &str) -> String {
    array(|_| item.to_owned())
}

/// Returns an object of as many members as there is room for.
pub(super) fn object(member: impl Fn(usize) -> String) -> String {
    filled("{", member, ",", "}", LONGEST)
}

/// Returns a string of a piece, over and over, with something at its end.
pub(super) fn string(piece: &str, end: &str) -> String {
    filled("\"", |_| piece.to_owned(), "", &format!("{end}\""), LONGEST)
}

/// Returns a value within so many arrays, each its only item.
pub(super) fn nested(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Returns an array of arrays that are nested as deeply as anything may be.
pub(super) fn deep() -> String {
    array_of(&nested(DEPTH - 1, "0"))
}

/// Returns objects nested as deeply as anything may be, each in the member `name` of the one around it. Beside it is
/// padding in another member, so that the message is as long as it may be.
pub(super) fn deep_object(name: &str) -> String {
    let padding = (LONGEST - DEPTH * (name.len() + 20)) / DEPTH;
    let open = format!("{{\"z\":\"{}\",\"{name}\":", "-".repeat(padding));
    format!("{}0{}", open.repeat(DEPTH), "}".repeat(DEPTH))
}

/// The deepest nesting that a policy can allow.
pub(super) const DEPTH: usize = 126;

/// Returns pieces between an opening and an end, no longer than so many bytes.
pub(super) fn filled(
    open: &str,
    piece: impl Fn(usize) -> String,
    between: &str,
    end: &str,
    longest: usize,
) -> String {
    let mut text = open.to_owned();
    for number in 0.. {
        let piece = piece(number);
        if text.len() + between.len() + piece.len() + end.len() > longest {
            break;
        }
        if number > 0 {
            text.push_str(between);
        }
        text.push_str(&piece);
    }
    text + end
}
