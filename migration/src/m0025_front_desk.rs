//! The front desk: phone numbers, accounts that staff made, and the words by which people are found.

use std::collections::BTreeSet;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, Statement, prelude::Uuid},
};
use unicode_normalization::UnicodeNormalization as _;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// `enrolled_by` is who made an account that its owner did not make: a user, or a service account. `merged_into` is the
// account that an erased one went into. Words are compared by code points on both engines, whatever the
// collation of the database.
const POSTGRES: &[&str] = &[
    "ALTER TABLE users
        ADD COLUMN phone text NOT NULL DEFAULT '',
        ADD COLUMN enrolled_by uuid,
        ADD COLUMN merged_into uuid",
    "CREATE INDEX users_by_enroller ON users (enrolled_by) WHERE enrolled_by IS NOT NULL",
    "CREATE TABLE user_words (
        word text COLLATE \"C\" NOT NULL,
        user_id uuid NOT NULL REFERENCES users,
        PRIMARY KEY (word, user_id)
    )",
    "CREATE INDEX user_words_by_user ON user_words (user_id)",
];

const SQLITE: &[&str] = &[
    "ALTER TABLE users ADD COLUMN phone TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE users ADD COLUMN enrolled_by BLOB",
    "ALTER TABLE users ADD COLUMN merged_into BLOB",
    "CREATE INDEX users_by_enroller ON users (enrolled_by) WHERE enrolled_by IS NOT NULL",
    "CREATE TABLE user_words (
        word TEXT NOT NULL,
        user_id BLOB NOT NULL REFERENCES users (user_id),
        PRIMARY KEY (word, user_id)
    ) STRICT, WITHOUT ROWID",
    "CREATE INDEX user_words_by_user ON user_words (user_id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE user_words",
    "DROP INDEX users_by_enroller",
    "ALTER TABLE users DROP COLUMN merged_into",
    "ALTER TABLE users DROP COLUMN enrolled_by",
    "ALTER TABLE users DROP COLUMN phone",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await?;
        index_all(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}

/// How many accounts are read at a time, and how many words are written in one statement.
const AT_ONCE: usize = 200;

/// Writes the words of the accounts that are there already.
async fn index_all(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let backend = db.get_database_backend();
    let mut after = Uuid::nil();
    loop {
        let sql = format!(
            "SELECT user_id, email, display_name FROM users
             WHERE user_id > $1 AND erased_at IS NULL ORDER BY user_id LIMIT {AT_ONCE}"
        );
        let page = Statement::from_sql_and_values(backend, sql, [after.into()]);
        let rows = db.query_all_raw(page).await?;
        let mut all = Vec::new();
        for row in &rows {
            after = row.try_get("", "user_id")?;
            let (email, name): (String, String) =
                (row.try_get("", "email")?, row.try_get("", "display_name")?);
            all.extend(words(&name, &email).into_iter().map(|word| (word, after)));
        }
        for some in all.chunks(AT_ONCE) {
            let places = (0..some.len()).map(|n| format!("(${}, ${})", 2 * n + 1, 2 * n + 2));
            let places = places.collect::<Vec<_>>().join(", ");
            let values = some.iter().flat_map(|(word, id)| [word.clone().into(), (*id).into()]);
            let sql = format!("INSERT INTO user_words (word, user_id) VALUES {places}");
            db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        }
        if rows.len() < AT_ONCE {
            return Ok(());
        }
    }
}

/// The words of an account as the server stores them at this version of the schema; see
/// `src/accounts/customers/search_terms.rs`. There are no phone numbers yet.
fn words(name: &str, email: &str) -> BTreeSet<String> {
    let name = folded(name);
    let is_start = |place: usize| {
        let before = name.get(..place).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric())
    };
    let starts = name
        .char_indices()
        .filter(|(place, c)| (c.is_alphanumeric() || *place == 0) && is_start(*place));
    let names = starts.filter_map(|(place, _)| name.get(place..));
    let stored = |word: &str| word.chars().take(64).collect::<String>();
    names.chain([email]).filter(|word| !word.is_empty()).map(stored).collect()
}

fn folded(text: &str) -> String {
    let lower: String = text.nfkd().flat_map(char::to_lowercase).collect();
    let mut folded = String::with_capacity(lower.len());
    for c in lower.nfkd() {
        match c {
            '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' => {}
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ł' => folded.push('l'),
            'ı' => folded.push('i'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => folded.push('-'),
            '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{00B4}' | '`' => folded.push('\''),
            c if c.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c => folded.push(c),
        }
    }
    folded.trim().to_owned()
}
