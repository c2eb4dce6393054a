//! The catalogue: every attack, by family, in the order in which they are tried and reported.

mod content;
mod frame;
mod handshake;
mod liveness;
mod origin;
mod rate;
mod token;

use super::attack::{Attack, Trial};

/// Attacks on one thing.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) attacks: &'static [Attack],
}

/// Every family.
pub(crate) const FAMILIES: [Family; 7] = [
    Family { name: "handshake", attacks: handshake::ATTACKS },
    Family { name: "origin", attacks: origin::ATTACKS },
    Family { name: "token", attacks: token::ATTACKS },
    Family { name: "frame", attacks: frame::ATTACKS },
    Family { name: "content", attacks: content::ATTACKS },
    Family { name: "liveness", attacks: liveness::ATTACKS },
    Family { name: "rate", attacks: rate::ATTACKS },
];

/// An attack, and the name of its family.
pub(crate) type Entry = (&'static str, &'static Attack);

/// Returns every attack.
pub(crate) fn all() -> impl Iterator<Item = Entry> {
    FAMILIES.into_iter().flat_map(|family| family.attacks.iter().map(move |attack| (family.name, attack)))
}

/// The time at which an attack is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Beside all others, since it waits.
    Beside,
    /// Among a few at once.
    Among,
    /// Alone, behind all others, since it uses up what they need.
    Alone,
}

impl Turn {
    /// Returns the turn of an attack.
    pub(crate) fn of(attack: &Attack) -> Self {
        match attack.trial {
            Trial::Slow(_) | Trial::Endless(_) => Self::Beside,
            Trial::Flood(_) | Trial::Connections | Trial::Handshakes => Self::Alone,
            _ => Self::Among,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own_and_says_all_about_itself() {
        let mut names = BTreeSet::new();
        for (family, attack) in all() {
            assert!(names.insert(attack.id), "{} twice", attack.id);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(attack.id.chars().all(is_plain) && attack.id.starts_with(family), "{}", attack.id);
            for text in [attack.title, attack.sends, attack.reference, attack.closed_by] {
                assert!(
                    !text.is_empty() && !text.ends_with('.') && !text.contains('|'),
                    "{}: {text}",
                    attack.id
                );
            }
        }
        assert!(names.len() >= 60, "{}", names.len());
    }

    /// Returns the rows of a family as they stand in docs/audit.md.
    fn rows(family: &Family) -> String {
        let row = |attack: &Attack| {
            let Attack { id, title, sends, severity, reference, closed_by, trial } = attack;
            let open_when = trial.open_when();
            format!("| `{id}` | {severity} | {title} | {sends} | {open_when} | {reference} | {closed_by} |\n")
        };
        family.attacks.iter().map(row).collect()
    }

    #[test]
    fn the_page_has_the_catalogue_and_nothing_else_in_its_tables() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.md");
        let page = std::fs::read_to_string(page).unwrap();
        let mut length = 0;
        for family in &FAMILIES {
            let rows = rows(family);
            assert!(
                page.contains(&rows),
                "docs/audit.md has other rows for the family {}:\n{rows}",
                family.name
            );
            length += rows.lines().count();
        }
        let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 8);
        assert_eq!(rows.count(), length);
    }
}
