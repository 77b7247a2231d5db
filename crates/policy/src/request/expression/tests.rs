//! Expressions match whole texts, mean what RE2 reads, and stay small.

use super::{Expression, InvalidExpression, Patterns};

fn whole(pattern: &str, text: &str) -> bool {
    Expression::whole(pattern).unwrap_or_else(|error| panic!("{error}")).matches(text.as_bytes())
}

#[test]
fn the_whole_text_must_match() {
    assert!(whole("/v[0-9]+", "/v12"));
    assert!(!whole("/v[0-9]+", "/v12/x"));
    assert!(!whole("/v[0-9]+", "x/v12"));
    assert!(whole("a|ab", "ab"), "the first alternative is too short, the second is whole");
    assert!(!whole("a|b", "ax"));
    assert!(!whole("(?m)a$", "a\nb"));
}

#[test]
fn what_re2_reads_differently() {
    assert!(whole(r"\d+", "12") && !whole(r"\d+", "\u{661}"));
    assert!(whole(r"\w+", "a_1") && !whole(r"\w+", "\u{e9}"));
    assert!(whole("[^\\d/]+", "ab") && !whole("[^\\d/]+", "a1"));
    assert!(whole("[a&&b]+", "a&b"));
    assert!(whole("[[]x", "[x"));
    assert!(whole("[]a]+", "]a"));
    assert!(whole("[[:alpha:]]+", "ab") && !whole("[[:alpha:]]+", "1"));
    assert!(whole("/{id}", "/{id}"));
    assert!(whole("a{2,3}", "aaa") && !whole("a{2,3}", "a"));
    assert!(whole(r"\Qa.b(\E+", "a.b((") && !whole(r"\Qa.b\E", "axb"));
    assert!(whole(r"\<a\>", "<a>"));
    assert!(whole("(?i)abc", "aBC"));
    assert!(whole("(?P<x>a)(?:b)", "ab"));
    assert!(
        whole(".", "\u{e9}") && !whole("..", "\u{e9}") && whole(".*", "\u{e9}") && whole("[^/]+", "\u{e9}")
    );
    assert!(
        whole(r"\W", "\u{e9}")
            && whole(r"[\W]", "\u{e9}")
            && whole(r"\S+", "\u{e9}")
            && whole("[^a]", "\u{e9}")
    );
}

#[test]
fn what_re2_does_not_have_is_refused() {
    for pattern in [
        "(", ")", "a)|(b", "[a", "*", "(?x)a", "(?u)a", "(?=a)", "(?<!a)", r"(a)\1", r"\C", r"\u0041", "a\\",
        "[a--z]", "(?i",
    ] {
        assert!(matches!(Expression::whole(pattern), Err(InvalidExpression::Syntax(..))), "{pattern}");
    }
}

#[test]
fn large_expressions_are_refused() {
    assert_eq!(Expression::whole(&"a".repeat(4097)).unwrap_err(), InvalidExpression::TooLong);
    let bomb = "((a{100}){100}){100}";
    assert_eq!(Expression::whole(bomb).unwrap_err(), InvalidExpression::TooLarge(bomb.into()));
}

/// A pattern that takes other engines exponential time.
#[test]
fn backtracking_bombs_are_harmless() {
    assert!(!whole("(a+)+b", &"a".repeat(10_000)));
}

#[test]
fn replacements_name_groups() {
    let expression = Expression::anywhere("/service/([^/]+)(/.*)").unwrap();
    assert_eq!(expression.replace("/service/foo/v1/api", r"\2/instance/\1"), "/v1/api/instance/foo");
    let expression = Expression::anywhere("one").unwrap();
    assert_eq!(expression.replace("/xxx/one/yyy/one/zzz", "two"), "/xxx/two/yyy/two/zzz");
    assert_eq!(expression.replace("/one", r"\0\\\7"), r"/one\");
}

#[test]
fn equal_patterns_are_one_expression() {
    let mut patterns = Patterns::default();
    let first = patterns.whole(&"/a.*".into()).unwrap();
    let second = patterns.whole(&"/a.*".into()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first.regex, &second.regex));
    assert!(patterns.whole(&"(".into()).is_err());
    patterns.trim();
    assert_eq!(patterns.whole.len(), 1);
    drop((first, second));
    patterns.trim();
    assert_eq!(patterns.whole.len(), 0);
}
