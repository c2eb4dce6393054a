//! Schemas and values to judge by them.
//!
//! Input: a byte, even or odd, and then either the text of a schema, a zero and the text of a value, or bytes of which both
//! are made. Both are judged twice alike, within the budget but for a last look, and by a smaller budget the same or not
//! at all.

use arbitrary::Unstructured;
use postern_engine::json_schema::{Budget, Fault, Problem, Schema};
use serde_json::Value;

use crate::schema_script::{schema, value};

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    if how % 2 == 0 {
        let mut texts = rest.splitn(2, |byte| *byte == 0);
        let mut json = || serde_json::from_slice::<Value>(texts.next().unwrap_or_default()).ok();
        if let (Some(document), Some(value)) = (json(), json()) {
            judge(&document, &value);
        }
        return;
    }
    let mut numbers = Unstructured::new(rest);
    if let (Ok(document), Ok(value)) = (schema(&mut numbers), value(&mut numbers, 3)) {
        judge(&document, &value);
    }
}

/// Holds a judgement against another of the same.
fn judge(document: &Value, value: &Value) {
    let schema = match (Schema::compile(document), Schema::compile(document)) {
        (Ok(schema), Ok(_)) => schema,
        (Err(problems), Err(again)) => {
            assert_eq!(problems, again, "a schema is refused alike");
            problems.iter().for_each(|problem| is_sound(problem, document));
            assert!(!problems.is_empty(), "something is wrong");
            return;
        }
        (first, second) => panic!("compiled as {first:?} and as {second:?}"),
    };
    let length = value.to_string().len();
    // The last look is a comparison, or a text that is read.
    let overshoot = (length + document.to_string().len()) as u64;
    let budget = Budget::for_bytes(length);
    let (verdict, steps) = schema.measure(value, budget);
    assert_eq!((verdict.clone(), steps), schema.measure(value, budget), "judged alike");
    assert!(steps <= budget.steps() + overshoot, "{steps} steps of {}", budget.steps());
    if let Err(Fault::Keyword(at)) = &verdict {
        assert!(document.pointer(at).is_some(), "{at:?} is no place of {document}");
    }
    let (sooner, fewer) = schema.measure(value, Budget::for_bytes(0));
    assert!(fewer <= steps, "{fewer} steps of {steps}");
    assert!(sooner == verdict || sooner == Err(Fault::Work), "{sooner:?} and {verdict:?}");
}

fn is_sound(problem: &Problem, document: &Value) {
    let Problem { at, what, remedy } = problem;
    assert!(document.pointer(at).is_some(), "{at:?} is no place of {document}");
    assert!(!what.is_empty() && !remedy.is_empty(), "{problem:?}");
}
