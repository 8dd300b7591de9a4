//! The fields of how a rule's requests are shared out.

use super::{Case, case};

#[rustfmt::skip]
pub(super) const CASES: [Case; 12] = [
    case("Rule.split", "/routes/~1shared/split", r#"[{"upstream": "told"}]"#, r#"[{"upstream": "told", "weight": 0}]"#,
        "no upstream of this split gets anything"),
    case("Rule.sticky", "/routes/~1shared/sticky", "{}", "true",
        "expected an object, found `true`"),
    case("Share.upstream", "/routes/~1shared/split/1/upstream", r#""told""#, r#""games""#,
        "this upstream is in the list already"),
    case("Share.weight", "/routes/~1shared/split/1/weight", "0", "1000001",
        "expected 0 to 1000000, found `1000001`"),
    case("Sticky.cookie", "/routes/~1shared/sticky/cookie", r#""a""#, r#""a b""#,
        "expected the name of a cookie, such as `cloudcup-split`, found `a b`"),
    case("Sticky.secret", "/routes/~1shared/sticky/secret", r#""0123456789abcdef""#, "1",
        "expected a string, found `1`"),
    case("Sticky.max_age", "/routes/~1shared/sticky/max_age", r#""1s""#, r#""25h""#,
        "expected `1s` to `24h`, found `25h`"),
    case("Sticky.same_site", "/routes/~1shared/sticky/same_site", r#""none""#, r#""any""#,
        "expected `lax`, `strict` or `none`, found `any`"),
    case("Sticky.secure", "/routes/~1shared/sticky/secure", "false", r#""yes""#,
        "expected `true` or `false`, found the string `yes`"),
    case("Rule.mirror", "/routes/~1shared/mirror", r#"[{"upstream": "told"}]"#, r#"[{"percent": 1}]"#,
        "missing field `upstream`"),
    case("Mirror.upstream", "/routes/~1shared/mirror/0/upstream", r#""told""#, r#""tolt""#,
        "unknown upstream `tolt`"),
    case("Mirror.percent", "/routes/~1shared/mirror/0/percent", "99.9", "100.1",
        "expected 0 to 100, found `100.1`"),
];
