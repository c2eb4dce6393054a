//! The cases of `e2e/conformance/*.json`: the handshake, the frames that are sent, and the outcome that must
//! follow. README.md there describes the notation.

use std::fmt;

use postern_e2e::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use crate::step::{Step, Written, fragmented};

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Policies by name, each laid over the generous one.
    #[serde(default)]
    pub(crate) policies: Map<String, Value>,
    cases: Vec<Group>,
}

/// Cases that differ in one value or in how they are cut.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    id: String,
    rfc: Vec<String>,
    title: String,
    policy: Option<OneOrMore>,
    offer: Option<Value>,
    service: Option<Value>,
    each: Option<Value>,
    #[serde(default = "uncut")]
    fragments_of: Vec<usize>,
    #[serde(default = "uncut")]
    chop: Vec<usize>,
    #[serde(default)]
    split: Vec<usize>,
    send: Value,
    #[serde(default = "no_wishes")]
    expect: Value,
}

/// A word, or several in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn uncut() -> Vec<usize> {
    vec![0]
}

fn no_wishes() -> Value {
    Value::Object(Map::new())
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    title: String,
    rfc: Vec<String>,
    pub(crate) policy: Option<String>,
    /// Each Sec-WebSocket-Extensions of the handshake.
    pub(crate) offer: Vec<String>,
    /// The server's own way to negotiate, where it is not its default.
    pub(crate) service: Option<Value>,
    pub(crate) send: Vec<Step>,
    pub(crate) delivery: Delivery,
    /// The outcome that must follow with Postern.
    pub(crate) expect: Expect,
    /// The outcome that must follow from the server alone, where it is another.
    pub(crate) alone: Option<Expect>,
}

/// The cut of the bytes into writes.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// One write for everything between two waits.
    Whole,
    /// Pieces of this size.
    Pieces(usize),
    /// The first pieces have these sizes, and the last is the rest.
    Split(Vec<usize>),
}

/// The outcome that a case demands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The status of the response; after any other than 101 nothing is sent.
    #[serde(default = "switching")]
    pub(crate) status: u16,
    /// The value of Sec-WebSocket-Extensions of the response; an empty one means none.
    pub(crate) agreed: Option<String>,
    /// The messages that come back.
    #[serde(default)]
    pub(crate) echo: Count,
    /// The Pings that are answered.
    #[serde(default)]
    pub(crate) pong: Count,
    /// The codes of which one must be in the server's Close; 1005 stands for a Close without a code. Without
    /// this the connection must live on, which shows in the server's Close 1000 that answers one.
    pub(crate) close: Option<Vec<u16>>,
    /// Says whether the connection may also end without a Close.
    #[serde(default)]
    pub(crate) drop: bool,
    /// The party that refuses or closes. Where it has to be Postern, its reason is one of these ids.
    pub(crate) judge: Option<Judge>,
    #[serde(default)]
    pub(crate) reason: Vec<String>,
}

fn switching() -> u16 {
    101
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Judge {
    Postern,
}

/// A share of the frames that were sent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(from = "Option<usize>")]
pub(crate) enum Count {
    #[default]
    All,
    First(usize),
}

impl From<Option<usize>> for Count {
    fn from(number: Option<usize>) -> Self {
        number.map_or(Self::All, Self::First)
    }
}

impl Count {
    /// Returns the first of `all`, as many as this count says.
    pub(crate) fn of<T>(self, all: &[T]) -> &[T] {
        match self {
            Self::All => all,
            Self::First(number) => &all[..number],
        }
    }
}

impl File {
    /// Returns the file's cases, every one by itself.
    pub(crate) fn cases(&self) -> Vec<Case> {
        self.cases.iter().flat_map(Group::cases).collect()
    }
}

impl Group {
    fn cases(&self) -> Vec<Case> {
        assert!(!self.rfc.is_empty(), "{} names no RFC", self.id);
        let mut cases = Vec::new();
        for (label, policy) in self.policies() {
            for (name, value) in self.values() {
                for &fragment in &self.fragments_of {
                    for &chop in &self.chop {
                        let mut id = self.id.clone();
                        let cut = [suffix("fragments of", fragment), suffix("chop", chop)];
                        for part in [label.clone(), name.clone()].iter().chain(&cut) {
                            if !part.is_empty() {
                                id = format!("{id}/{part}");
                            }
                        }
                        cases.push(self.case(id, policy.as_ref(), &value, fragment, chop));
                    }
                }
            }
        }
        cases
    }

    /// Returns the policies, each with its part of the case's id where there are several.
    fn policies(&self) -> Vec<(String, Option<String>)> {
        match &self.policy {
            None => vec![(String::new(), None)],
            Some(OneOrMore::One(name)) => vec![(String::new(), Some(name.clone()))],
            Some(OneOrMore::More(names)) => {
                names.iter().map(|name| (name.clone(), Some(name.clone()))).collect()
            }
        }
    }

    /// Returns the values of `each`, each with its part of the case's id.
    fn values(&self) -> Vec<(String, Value)> {
        match &self.each {
            None => vec![(String::new(), Value::Null)],
            Some(Value::Array(values)) => {
                values.iter().map(|value| (name_of(value), value.clone())).collect()
            }
            Some(Value::Object(values)) => {
                values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            Some(other) => panic!("{}: each is {other}", self.id),
        }
    }

    fn case(&self, id: String, policy: Option<&String>, value: &Value, fragment: usize, chop: usize) -> Case {
        let read = |what: &Value| with_value(what, value);
        let steps =
            parse::<Vec<Written>>(Value::Array(flat(read(&self.send))), &id).into_iter().map(Written::step);
        let send = match fragment {
            0 => steps.collect(),
            size => steps.flat_map(|step| fragmented(step, size)).collect(),
        };
        let mut expected = read(&self.expect);
        let differences = expected.as_object_mut().and_then(|members| members.remove("alone"));
        let alone = differences.map(|differences| {
            let mut expected = expected.clone();
            for (name, difference) in differences.as_object().expect("an object of what is different") {
                expected[name] = difference.clone();
            }
            parse(expected, &id)
        });
        let expect: Expect = parse(expected, &id);
        assert_eq!(expect.judge.is_some(), !expect.reason.is_empty(), "{id}: a judge has a reason");
        let offer = match self.offer.as_ref().map(read) {
            None => Vec::new(),
            Some(offer) => match parse(offer, &id) {
                OneOrMore::One(value) => vec![value],
                OneOrMore::More(values) => values,
            },
        };
        let delivery = match chop {
            0 if self.split.is_empty() => Delivery::Whole,
            0 => Delivery::Split(self.split.clone()),
            size => Delivery::Pieces(size),
        };
        Case {
            id,
            title: self.title.clone(),
            rfc: self.rfc.clone(),
            policy: policy.cloned(),
            offer,
            service: self.service.as_ref().map(read),
            send,
            delivery,
            expect,
            alone,
        }
    }
}

/// Returns the steps of a list, and of the lists in it.
fn flat(steps: Value) -> Vec<Value> {
    match steps {
        Value::Array(steps) => steps.into_iter().flat_map(flat).collect(),
        step => vec![step],
    }
}

fn parse<T: DeserializeOwned>(what: Value, id: &str) -> T {
    serde_json::from_value(what.clone()).unwrap_or_else(|error| panic!("{id}: {error} in {what}"))
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}; RFC {})", self.id, self.title, self.rfc.join(", "))
    }
}

fn name_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn suffix(what: &str, size: usize) -> String {
    if size == 0 { String::new() } else { format!("{what} {size}") }
}

/// Returns `what` with the value of the case in the place of every "$", and a member of it in the place of
/// every "$.name".
fn with_value(what: &Value, value: &Value) -> Value {
    match what {
        Value::String(text) if text == "$" => value.clone(),
        Value::String(text) => match text.strip_prefix("$.") {
            Some(name) => value.get(name).unwrap_or_else(|| panic!("{value} has no {name:?}")).clone(),
            None => what.clone(),
        },
        Value::Array(items) => items.iter().map(|item| with_value(item, value)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), with_value(member, value))).collect()
        }
        other => other.clone(),
    }
}
