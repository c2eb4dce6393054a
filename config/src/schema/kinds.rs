//! The values that have a grammar of their own, each as a schema. A grammar here may be wider than that of the language, and
//! is never narrower.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::content::Content;

/// A number, and a unit; the number has a digit that is not zero.
const LONGER_THAN_ZERO: &str = r"(0*[1-9][0-9]*(\.[0-9]{1,9})?|0+\.[0-9]*[1-9][0-9]*)(ms|s|m|h)";

/// A claim's name, or a JSON pointer (RFC 6901 §3) to it.
const CLAIM: &str = r"^(/([^~]|~[01])*|[^/].*)$";

const POINTER: &str = r"/([^~]|~[01])*";

/// A token (RFC 9110 §5.6.2).
const TOKEN: &str = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+";

/// The largest whole number of the language.
const LARGEST: u64 = 1 << 53;

/// A whole number as text, as [`NUMBER`].
pub(super) const WITHOUT_A_UNIT: &str = r"^[0-9]+(\.[0-9]+)?([eE]\+?[0-9]+)?$";

/// A whole number as text: as Envoy hands over those beyond 32 bits, and doubles.
const NUMBER: &str = r"[0-9]+(\.[0-9]+)?([eE]\+?[0-9]+)?";

/// Defines the kinds of values, each with its schema.
macro_rules! kinds {
    ($($(#[$comment:meta])* $name:ident: $schema:expr;)*) => {$(
        $(#[$comment])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

kinds! {
    /// An address of http or https, without a user.
    Address: json_schema!({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?:(//[^/?#@]*([/?][^#]*)?|[^/#@][^#@]*)$"});
    /// The origins that may open a socket; `*` stands alone.
    AllowedOrigins: json_schema!({
        "type": "array",
        "items": {"type": "string", "pattern": r"^(\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]*)$"},
        "not": {"contains": {"const": "*"}, "minItems": 2},
    });
    /// The values that each name in an issuer may have.
    AllowedSegments: json_schema!({
        "type": "object",
        "additionalProperties": {
            "type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[^/]+$"},
        },
    });
    /// A claim, by its name or a JSON pointer.
    Claim: json_schema!({"type": "string", "pattern": CLAIM});
    /// The places in a message, each with the values that fit.
    Conditions: json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": format!("^{POINTER}$")},
        "additionalProperties": {"anyOf": [
            {"type": ["string", "number", "boolean"]},
            {"const": null},
            {"type": "array", "minItems": 1, "items": {"anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"const": null},
            ]}},
        ]},
    });
    /// A whole number of 32 bits, at least 1.
    Count32: count(u32::MAX.into());
    /// A whole number, or the word `none`.
    CountOrNone: count_or_none(LARGEST);
    /// The depth of JSON, or the word `none`.
    DepthOrNone: count_or_none(Content::MAX_JSON_DEPTH.into());
    /// What the counts of a mesh may be told apart by.
    Descriptor: json_schema!({"type": "string", "enum": ["ip", "user", "policy"]});
    /// A duration longer than zero.
    Duration: json_schema!({"type": "string", "pattern": format!("^{LONGER_THAN_ZERO}$")});
    /// A duration longer than zero, or the word `none`.
    DurationOrNone: json_schema!({"type": "string", "pattern": format!("^(none|{LONGER_THAN_ZERO})$")});
    /// A duration, or zero.
    DurationOrZero: json_schema!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?(ms|s|m|h)$"});
    /// Headers to the service, each with its claim.
    Forward: json_schema!({
        "type": "object",
        "propertyNames": {"pattern": header_name()},
        "additionalProperties": {"type": "string", "pattern": CLAIM},
    });
    /// The name of a header in lower case.
    HeaderName: json_schema!({"type": "string", "pattern": header_name()});
    /// A host, or `*.` and what it is below.
    Host: json_schema!({"type": "string", "pattern": r"^(\*|\[[0-9A-Fa-f:.]+\]|(\*\.)?[^*/?#@%:\[\]]+)$"});
    /// A JWK set, or its JSON text.
    KeySet: json_schema!({
        "type": ["object", "string"],
        "required": ["keys"],
        "properties": {"keys": {
            "type": "array",
            "uniqueItems": false,
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["kty"],
                "properties": {"kty": {"type": "string", "not": {"const": "oct"}}},
                "not": {"anyOf": private_members()},
            },
        }},
    });
    /// Text that is not empty.
    Line: json_schema!({"type": "string", "minLength": 1});
    /// A JSON Schema for messages, or its JSON text.
    MessageSchema: json_schema!({"type": ["object", "boolean", "string"], "pattern": r"^\s*[{tf]"});
    /// A JSON Schema for messages, its JSON text, or the word `none`.
    MessageSchemaOrNone: json_schema!({"type": ["object", "boolean", "string"], "pattern": r"^(none$|\s*[{tf])"});
    /// The first segments of a path.
    PathPrefix: json_schema!({"type": "string", "pattern": r"^/[^?#]*$"});
    /// A JSON pointer (RFC 6901 §3).
    Pointer: json_schema!({"type": "string", "pattern": format!("^{POINTER}$")});
    /// A JSON pointer, or the word `none`.
    PointerOrNone: json_schema!({"type": "string", "pattern": format!("^(none|{POINTER})$")});
    /// The length of a network's prefix, in bits.
    PrefixLength: count(128);
    /// A path that is asked for.
    RequestPath: json_schema!({"type": "string", "pattern": "^/"});
    /// A value that a claim may have.
    Scalar: json_schema!({"type": ["string", "number", "boolean"]});
    /// A number of bytes, at least 1.
    Size: json_schema!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": LARGEST,
        "pattern": format!("^({NUMBER}|0*[1-9][0-9]*[KMG]iB)$"),
    });
    /// The name of a subprotocol.
    Subprotocol: json_schema!({"type": "string", "pattern": format!("^{TOKEN}(/{TOKEN})*$")});
    /// A token (RFC 9110 §5.6.2).
    Token: json_schema!({"type": "string", "pattern": format!("^{TOKEN}$")});
    /// The name of an environment variable.
    Variable: json_schema!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"});
}

/// A list that is not empty.
pub(crate) struct OneOrMore<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "minItems": 1, "items": generator.subschema_for::<T>()})
    }
}

/// Returns the schema of the names of providers.
pub(crate) fn provider_names() -> Value {
    json!({"pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", "maxLength": 64})
}

/// Returns the schema of the names of policies.
pub(crate) fn policy_names() -> Value {
    json!({"allOf": [provider_names(), {"not": {"enum": ["deny", "none", "pass"]}}]})
}

fn header_name() -> String {
    format!("^{}$", TOKEN.replace("A-Z", ""))
}

/// Returns what only private keys have.
fn private_members() -> Value {
    crate::raw::PRIVATE.iter().map(|name| json!({"required": [name]})).collect()
}

fn count(most: u64) -> Schema {
    json_schema!({"type": ["integer", "string"], "minimum": 1, "maximum": most, "pattern": format!("^{NUMBER}$")})
}

fn count_or_none(most: u64) -> Schema {
    json_schema!({"type": ["integer", "string"], "minimum": 1, "maximum": most, "pattern": format!("^(none|{NUMBER})$")})
}
