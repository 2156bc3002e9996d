//! What an erasure leaves of the stored data of an appointment's event.

use serde_json::Value;

/// The keys that say when, which and what, and nothing that people wrote. A key that is not here is taken away, also one
/// of a newer version.
const FACTS: [&str; 8] =
    ["start", "end", "previous_start", "previous_end", "customer", "type", "expires", "hold"];

/// Stored data without what people wrote, where there was any; the sentence that the server writes as a reason itself
/// stays. It does not need to know the kind, so that it works also where the data cannot be read.
pub fn without_words(stored: Value, own_reason: &str) -> Option<Value> {
    let Value::Object(mut fields) = stored else { return None };
    let before = fields.len();
    fields.retain(|key, value| {
        FACTS.contains(&&**key) || (key == "reason" && value.as_str() == Some(own_reason))
    });
    (fields.len() != before).then_some(Value::Object(fields))
}

/// Stored data of an event of which the kind alone is left.
pub fn nothing() -> Value {
    super::table::empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::{EventData, tests::stored};

    const OWN: &str = "nobody answered in time";

    #[test]
    fn what_people_wrote_goes_and_the_rest_stays() {
        let stored = json!({
            "start": "s", "end": "e", "previous_start": "s", "previous_end": "e", "customer": "c",
            "type": "t", "expires": "x", "hold": "h", "override": "o", "reason": "r", "state": "booked",
            "of_a_newer_version": "n",
        });
        let left = json!({
            "start": "s", "end": "e", "previous_start": "s", "previous_end": "e", "customer": "c",
            "type": "t", "expires": "x", "hold": "h",
        });
        assert_eq!(without_words(stored, OWN), Some(left.clone()));
        assert_eq!(without_words(left, OWN), None, "nothing is left to take");
        assert_eq!(without_words(json!({ "reason": OWN }), OWN), None);
        assert_eq!(without_words(json!({ "reason": "r" }), OWN), Some(json!({})));
        assert_eq!(without_words(json!("damaged"), OWN), None);
    }

    #[test]
    fn what_is_left_of_each_event_can_be_read() {
        for (kind, stored) in stored().filter(|(kind, _)| {
            let word = kind.word();
            word.starts_with("appointment_") || word.starts_with("hold_")
        }) {
            let before = EventData::decode(kind, stored.clone()).unwrap();
            let Some(left) = without_words(stored, OWN) else { continue };
            let after = EventData::decode(kind, left.clone());
            let after = after.unwrap_or_else(|e| panic!("{} {left}: {e}", kind.word()));
            let (before, after) = (before.change(), after.change());
            assert_eq!((after.start, after.end), (before.start, before.end), "{}", kind.word());
            assert_eq!((after.reason, after.override_reason, after.late), ("", "", false));
        }
    }
}
