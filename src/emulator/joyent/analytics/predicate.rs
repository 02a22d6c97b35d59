//! Predicates: which data points are meant (Joyent CloudAPI 6.5, "Predicate Syntax").

use super::schema::{Arity, Metric};
use serde_json::Value;

/// The value of a field of a data point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Datum {
    Name(&'static str),
    Amount(u64),
}

/// Checks that a predicate is one and is of a metric's fields; the error is a sentence. The empty object takes all.
pub(super) fn check(predicate: &Value, metric: &Metric) -> Result<(), String> {
    let Some(object) = predicate.as_object() else { return Err(format!("{predicate} is no predicate")) };
    let Some((operator, operands)) = object.iter().next() else { return Ok(()) };
    let operands = operands.as_array().map_or(&[][..], |operands| operands);
    match (&**operator, operands) {
        _ if object.len() > 1 => Err(format!("{predicate} has more than one operator")),
        ("and" | "or", [_, ..]) => operands.iter().try_for_each(|operand| check(operand, metric)),
        ("eq" | "ne" | "le" | "lt" | "ge" | "gt", [Value::String(name), value]) => {
            let field = metric.field(name).ok_or_else(|| format!("the metric has no field {name}"))?;
            let fits = match field.arity() {
                Arity::Discrete => value.is_string() && matches!(&**operator, "eq" | "ne"),
                Arity::Numeric => value.is_number(),
            };
            if fits { Ok(()) } else { Err(format!("{name} cannot be compared so: {predicate}")) }
        }
        _ => Err(format!("{predicate} is no predicate")),
    }
}

/// Whether a data point is meant by a predicate that was checked.
pub(super) fn holds(predicate: &Value, datum: &impl Fn(&str) -> Option<Datum>) -> bool {
    let Some((operator, operands)) = predicate.as_object().and_then(|object| object.iter().next()) else {
        return true;
    };
    let Some(operands) = operands.as_array() else { return true };
    match (&**operator, &**operands) {
        ("and", operands) => operands.iter().all(|operand| holds(operand, datum)),
        ("or", operands) => operands.iter().any(|operand| holds(operand, datum)),
        (operator, [Value::String(name), value]) => match (datum(name), value) {
            (Some(Datum::Name(name)), Value::String(value)) => (operator == "eq") == (name == value),
            (Some(Datum::Amount(amount)), value) => {
                let order = value.as_f64().and_then(|value| (amount as f64).partial_cmp(&value));
                order.is_some_and(|order| match operator {
                    "eq" => order.is_eq(),
                    "ne" => order.is_ne(),
                    "le" => order.is_le(),
                    "lt" => order.is_lt(),
                    "ge" => order.is_ge(),
                    _ => order.is_gt(),
                })
            }
            _ => false,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metric() -> &'static Metric {
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
        let point = |latency, host: &'static str| {
            holds(&predicate, &|field: &str| match field {
                "execname" => Some(Datum::Name("mysqld")),
                "latency" => Some(Datum::Amount(latency)),
                "hostname" => Some(Datum::Name(host)),
                _ => None,
            })
        };
        assert!(point(100_000_001, "host2"));
        assert!(!point(100_000_000, "host2"));
        assert!(!point(100_000_001, "host3"));
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
            assert_eq!(holds(&predicate, &|_: &str| Some(Datum::Amount(5))), at, "{operator}");
            assert_eq!(holds(&predicate, &|_: &str| Some(Datum::Amount(4))), below, "{operator}");
        }
        let not = json!({"ne": ["execname", "ls"]});
        assert!(holds(&not, &|_: &str| Some(Datum::Name("cat"))));
        assert!(!holds(&not, &|_: &str| Some(Datum::Name("ls"))));
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
