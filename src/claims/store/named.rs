//! SQL texts with named values.

use std::sync::OnceLock;

use sea_orm::{DatabaseBackend, Statement, Value};

/// A statement in whose text `{name}` stands for the value with that name, as often as it is there. The text with numbers is
/// made once; the values are then sent as those of any other statement.
#[derive(Debug)]
pub struct NamedStatement {
    text: fn() -> String,
    numbered: OnceLock<String>,
}

impl NamedStatement {
    /// A statement with this text.
    pub const fn new(text: fn() -> String) -> Self {
        Self { text, numbered: OnceLock::new() }
    }

    /// The statement with these values: the same names in the same order each time.
    pub fn with<const N: usize>(
        &self,
        backend: DatabaseBackend,
        values: [(&'static str, Value); N],
    ) -> Statement {
        let names = values.each_ref().map(|(name, _)| *name);
        let text = self.numbered.get_or_init(|| numbered((self.text)(), names));
        Statement::from_sql_and_values(backend, text, values.map(|(_, value)| value))
    }
}

/// The text with the places of values, from one, instead of their names.
fn numbered(text: String, names: impl IntoIterator<Item = &'static str>) -> String {
    let number = |text: String, (place, name): (usize, &str)| {
        text.replace(&format!("{{{name}}}"), &format!("${place}"))
    };
    (1..).zip(names).fold(text, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_place_of_its_value_wherever_it_is() {
        static BOTH: NamedStatement =
            NamedStatement::new(|| "SELECT {start}, {end} WHERE {start} < {now}".to_owned());
        let values = |n: i64| [("start", n.into()), ("end", (n + 1).into()), ("now", 9.into())];
        for n in [1, 2] {
            let statement = BOTH.with(DatabaseBackend::Postgres, values(n));
            assert_eq!(statement.sql, "SELECT $1, $2 WHERE $1 < $3");
            let given: Vec<Value> = values(n).map(|(_, value)| value).into();
            assert_eq!(statement.values.map(|values| values.0), Some(given));
        }
    }
}
