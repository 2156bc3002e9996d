//! Passwords that many people have, and those that somebody would try first for one person: all refused at
//! the strength that is the default, and without asking anybody.

use daybook::{
    config::{Config, Sources},
    identity::password::{own_words, weakness},
};

/// With its source in the first lines.
const COMMON: &str = include_str!("../corpus/passwords/common.txt");

fn common() -> Vec<&'static str> {
    COMMON.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Those that are taken, for somebody with this name and address.
fn taken(passwords: impl IntoIterator<Item = String>, name: &str, email: &str) -> Vec<String> {
    let (config, _) = Config::load(Sources::default()).unwrap_or_else(|e| panic!("{e}"));
    let least = config.auth.password_min_strength;
    let own = own_words(name, email);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    passwords.into_iter().filter(|password| weakness(password, &own, least).is_none()).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[test]
fn all_of_three_thousand_common_ones_are_refused() {
    let common = common();
    assert_eq!(common.len(), 3000);
    assert!(common.iter().all(|password| password.chars().count() >= 8));
    let all = common.iter().flat_map(|word| {
        [(*word).to_owned(), capital(word), word.to_uppercase(), format!("{word}1")]
    });
    let taken = taken(all, "Ada Lovelace", "ada.lovelace@example.org");
    assert!(taken.is_empty(), "{} of 12,000: {taken:?}", taken.len());
}

#[test]
fn what_somebody_would_try_first_for_a_person_is_refused() {
    for (name, email) in [
        ("Marguerite Fontaine", "m.fontaine@cabinet-fontaine.example"),
        ("Xanthe Quillfeather", "xquill.home@praxis-seeblick.example"),
        ("Jürgen Öztürk-Łaszcz", "joezt@dental.oeztuerk.example"),
    ] {
        let (local, domain) = email.split_once('@').unwrap();
        let words: Vec<&str> =
            [local, domain].iter().flat_map(|part| part.split(['.', '-'])).collect();
        let joined: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        let names = name.split(' ').map(str::to_lowercase);
        let mut tried = vec![
            email.to_owned(),
            local.to_owned(),
            domain.to_owned(),
            name.to_owned(),
            joined.clone(),
            "daybook".to_owned(),
            "Daybook".to_owned(),
            format!("daybook{local}"),
            format!("daybook-{}", words[0]),
            format!("daybook-{}-{}", words[1], words[0]),
        ];
        tried.extend(names);
        tried.extend(words.iter().map(|word| (*word).to_owned()));
        let with_more = tried.iter().flat_map(|word| {
            let reversed: String = word.chars().rev().collect();
            ["1", "123", "!", "2026"].map(|end| format!("{word}{end}")).into_iter().chain([
                capital(word),
                word.to_lowercase(),
                reversed,
                format!("{word}{word}"),
            ])
        });
        let all: Vec<_> = tried.iter().cloned().chain(with_more).collect();
        let others = ["tulip-anvil-moss", "correct horse battery", "vB7#mQ9!xZ2k"];
        let with_others = others.map(|password| format!("{password} {}", words[0]));
        let strong = others.map(str::to_owned).into_iter().chain(with_others);
        assert_eq!(taken(strong, name, email).len(), 6, "what is strong stays strong");
        let taken = taken(all, name, email);
        assert!(taken.is_empty(), "{taken:?}");
    }
}
