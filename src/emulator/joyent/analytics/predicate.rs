//! Predicates select operations (Joyent CloudAPI 6.5, "Predicate Syntax").

use super::metrics::{Metric, is_numeric};
use serde_json::Value;

/// Checks that a predicate is valid and uses only a metric's fields; the error is a sentence. The empty
/// object selects all.
pub(super) fn check(predicate: &Value, metric: Metric) -> Result<(), String> {
    let Some(object) = predicate.as_object() else { return Err(format!("{predicate} is not a predicate")) };
    let Some((operator, operands)) = object.iter().next() else { return Ok(()) };
    let operands = operands.as_array().map_or(&[][..], |operands| operands);
    match (&**operator, operands) {
        _ if object.len() > 1 => Err(format!("{predicate} has more than one operator")),
        ("and" | "or", [_, ..]) => operands.iter().try_for_each(|operand| check(operand, metric)),
        ("eq" | "ne" | "le" | "lt" | "ge" | "gt", [Value::String(name), value]) => {
            let fits = if is_numeric(name) {
                value.is_number()
            } else {
                value.is_string() && matches!(&**operator, "eq" | "ne")
            };
            match metric.has(name) {
                true if fits => Ok(()),
                true => Err(format!("{name} cannot be compared so: {predicate}")),
                false => Err(format!("the metric has no field {name}")),
            }
        }
        _ => Err(format!("{predicate} is not a predicate")),
    }
}

/// Returns whether a checked predicate selects an operation with these fields.
pub(super) fn holds<'a>(predicate: &Value, field: &impl Fn(&str) -> Option<&'a str>) -> bool {
    let Some((operator, operands)) = predicate.as_object().and_then(|object| object.iter().next()) else {
        return true;
    };
    let Some(operands) = operands.as_array() else { return true };
    match (&**operator, &**operands) {
        ("and", operands) => operands.iter().all(|operand| holds(operand, field)),
        ("or", operands) => operands.iter().any(|operand| holds(operand, field)),
        (operator, [Value::String(name), value]) => {
            let order = match value {
                Value::String(value) => field(name).map(|ours| ours.cmp(value)),
                value => field(name)
                    .and_then(|ours| ours.parse::<f64>().ok())
                    .and_then(|ours| ours.partial_cmp(&value.as_f64()?)),
            };
            order.is_some_and(|order| match operator {
                "eq" => order.is_eq(),
                "ne" => order.is_ne(),
                "le" => order.is_le(),
                "lt" => order.is_lt(),
                "ge" => order.is_ge(),
                _ => order.is_gt(),
            })
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metric() -> Metric {
        Metric::find("fs", "logical_ops").unwrap()
    }

    #[test]
    fn the_manuals_predicate_holds_where_it_says() {
        let predicate = json!({"and": [
            {"eq": ["execname", "mysqld"]},
            {"gt": ["latency", 100_000_000]},
            {"or": [{"eq": ["hostname", "host1"]}, {"eq": ["hostname", "host2"]}]},
        ]});
        check(&predicate, metric()).unwrap();
        let point = |latency: &str, host: &str| {
            holds(&predicate, &|field: &str| match field {
                "execname" => Some("mysqld"),
                "latency" => Some(latency),
                "hostname" => Some(host),
                _ => None,
            })
        };
        assert!(point("100000001", "host2"));
        assert!(!point("100000000", "host2"));
        assert!(!point("100000001", "host3"));
    }

    #[test]
    fn operators_mean_what_they_say() {
        for (operator, at, below) in [
            ("eq", true, false),
            ("ne", false, true),
            ("le", true, true),
            ("lt", false, true),
            ("ge", true, false),
            ("gt", false, false),
        ] {
            let predicate = json!({operator: ["latency", 5]});
            check(&predicate, metric()).unwrap();
            assert_eq!(holds(&predicate, &|_: &str| Some("5")), at, "{operator}");
            assert_eq!(holds(&predicate, &|_: &str| Some("4")), below, "{operator}");
        }
        let not = json!({"ne": ["execname", "ls"]});
        assert!(holds(&not, &|_: &str| Some("cat")));
        assert!(!holds(&not, &|_: &str| Some("ls")));
        assert!(holds(&json!({}), &|_: &str| None));
    }

    #[test]
    fn what_is_no_predicate_is_refused() {
        for predicate in [
            json!("eq"),
            json!({"eq": ["execname"]}),
            json!({"eq": ["execname", 1]}),
            json!({"lt": ["execname", "ls"]}),
            json!({"eq": ["latency", "5"]}),
            json!({"eq": ["raddr", "8.12.47.107"]}),
            json!({"like": ["execname", "l%"]}),
            json!({"and": []}),
            json!({"and": [{"or": {}}]}),
            json!({"eq": ["execname", "ls"], "ne": ["execname", "ls"]}),
        ] {
            assert!(check(&predicate, metric()).is_err(), "{predicate}");
        }
    }
}
