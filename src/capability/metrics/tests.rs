//! The registry as plugins and scrapers see it.

use std::thread;

use super::*;

fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|&(label, value)| (label.into(), value.into())).collect()
}

fn page(registry: &Registry) -> String {
    let mut page = String::new();
    registry.write(&mut page);
    page
}

#[test]
fn writes_the_page_that_prometheus_reads() {
    let registry = Registry::new();
    let (one, other) = (registry.plugin("guard", 10), registry.plugin("au\"th", 10));
    let hits = one.open_counter("hits_total", &labels(&[("tier", "a\\b\"c\nd"), ("area", "eu")])).unwrap();
    let more_hits = other.open_counter("hits_total", &[]).unwrap();
    let load = one.open_gauge("load", &labels(&[("area", "")])).unwrap();
    let wait = one.open_histogram("wait_seconds", &labels(&[("area", "eu")]), &[0.25, 1.0, 2e20]).unwrap();
    hits.add(2);
    hits.add(3);
    more_hits.add(7);
    load.set(1.5);
    load.add(-2.0);
    for value in [0.25, 0.5, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e21] {
        wait.observe(value);
    }
    assert_eq!(
        page(&registry),
        r#"# HELP cloudcup_plugin_hits_total A counter that plugins keep.
# TYPE cloudcup_plugin_hits_total counter
cloudcup_plugin_hits_total{plugin="au\"th"} 7
cloudcup_plugin_hits_total{plugin="guard",area="eu",tier="a\\b\"c\nd"} 5
# HELP cloudcup_plugin_load A gauge that plugins keep.
# TYPE cloudcup_plugin_load gauge
cloudcup_plugin_load{plugin="guard"} -0.5
# HELP cloudcup_plugin_wait_seconds A histogram that plugins keep.
# TYPE cloudcup_plugin_wait_seconds histogram
cloudcup_plugin_wait_seconds_bucket{plugin="guard",area="eu",le="0.25"} 1
cloudcup_plugin_wait_seconds_bucket{plugin="guard",area="eu",le="1"} 2
cloudcup_plugin_wait_seconds_bucket{plugin="guard",area="eu",le="2e20"} 3
cloudcup_plugin_wait_seconds_bucket{plugin="guard",area="eu",le="+Inf"} 4
cloudcup_plugin_wait_seconds_sum{plugin="guard",area="eu"} 1e21
cloudcup_plugin_wait_seconds_count{plugin="guard",area="eu"} 4
"#
    );
}

#[test]
fn a_gauge_keeps_what_is_not_a_number() {
    let registry = Registry::new();
    let gauge = registry.plugin("guard", 1).open_gauge("load", &[]).unwrap();
    for (value, expected) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (1e-7, "1e-7"),
        (-3e300, "-3e300"),
        (0.0, "0"),
        (123_456_789.0, "123456789"),
    ] {
        gauge.set(value);
        assert!(page(&registry).ends_with(&format!("{{plugin=\"guard\"}} {expected}\n")), "{value}");
    }
}

#[test]
fn equal_names_and_labels_are_one_series_for_as_long_as_it_is_held() {
    let registry = Registry::new();
    let before = registry.plugin("guard", 10);
    let (ab, ba) = (labels(&[("a", "1"), ("b", "2")]), labels(&[("b", "2"), ("c", ""), ("a", "1")]));
    let first = before.open_counter("hits_total", &ab).unwrap();
    // As after a reload, with another handle.
    let second = registry.plugin("guard", 10).open_counter("hits_total", &ba).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let of_another = registry.plugin("auth", 10).open_counter("hits_total", &ab).unwrap();
    assert!(!Arc::ptr_eq(&first, &of_another));
    first.add(1);
    drop(first);
    assert!(page(&registry).contains("hits_total{plugin=\"guard\",a=\"1\",b=\"2\"} 1\n"));
    drop((second, of_another));
    assert_eq!(page(&registry), "");
    assert_eq!(before.open_counter("hits_total", &ab).unwrap().value(), 0);
}

/// Opens a metric of a kind beside others that are held, and compares what it says.
fn check(kind: Kind, name: &str, with: &[(&str, &str)], bounds: &[f64], expected: &str) {
    let registry = Registry::new();
    let (plugin, other) = (registry.plugin("guard", 4), registry.plugin("auth", 1));
    let _held = (
        plugin.open_gauge("load", &[]).unwrap(),
        plugin.open_gauge("queue_count", &[]).unwrap(),
        plugin.open_histogram("wait", &[], &[1.0]).unwrap(),
        other.open_gauge("theirs", &[]).unwrap(),
    );
    let with = labels(with);
    let opened = match kind {
        Kind::Counter => plugin.open_counter(name, &with).map(drop),
        Kind::Gauge => plugin.open_gauge(name, &with).map(drop),
        Kind::Histogram => plugin.open_histogram(name, &with, bounds).map(drop),
    };
    let found = opened.map_or_else(|error| error.to_string(), |()| "opened".into());
    assert_eq!(found, expected, "{name} {with:?}");
}

#[test]
fn says_what_is_wrong_with_a_name() {
    let gauge = |name: &str, expected: &str| check(Kind::Gauge, name, &[], &[], expected);
    let rule =
        "is not a metric name: expected 1 to 64 lower-case letters, digits and `_`, and a letter first";
    gauge("a", "opened");
    gauge(&"a".repeat(64), "opened");
    gauge(&"a".repeat(65), &format!("`{}` {rule}", "a".repeat(64)));
    for bad in ["", "_a", "1a", "A", "a-b", "a b", "a\n", "ä"] {
        gauge(bad, &format!("`{bad}` {rule}"));
    }
    check(Kind::Counter, "hits", &[], &[], "counter `hits` has no `_total` at its end");
    check(Kind::Counter, "calls_total", &[], &[], "`calls_total` is a metric of the gateway");
    for suffix in ["_total", "_bucket", "_sum", "_count"] {
        let expected = format!("histogram `a{suffix}` ends in `{suffix}`, which is not for histograms");
        check(Kind::Histogram, &format!("a{suffix}"), &[], &[1.0], &expected);
    }
    gauge("wait", "`wait` is a histogram already: it cannot be a gauge too");
    check(
        Kind::Histogram,
        "theirs",
        &[],
        &[1.0],
        "`theirs` is a gauge already: it cannot be a histogram too",
    );
    gauge("wait_sum", "`wait_sum` would be mistaken for a part of histogram `wait`");
    let expected = "`queue_count` would be mistaken for a part of histogram `queue`";
    check(Kind::Histogram, "queue", &[], &[1.0], expected);
}

#[test]
fn says_what_is_wrong_with_labels() {
    let gauge = |with: &[(&str, &str)], expected: &str| check(Kind::Gauge, "load", with, &[], expected);
    let rule = "is not a label name: expected 1 to 64 lower-case letters, digits and `_`, and no digit first";
    gauge(&[("_a1", "x")], "opened");
    gauge(&[("1a", "x")], &format!("`1a` {rule}"));
    gauge(&[("", "x")], &format!("`` {rule}"));
    gauge(&[("plugin", "x")], "label `plugin` is one that the gateway sets");
    gauge(&[("le", "x")], "label `le` is one that the gateway sets");
    gauge(&[("a", "x"), ("a", "")], "label `a` is there twice");
    gauge(&[("a", &"x".repeat(128))], "opened");
    gauge(&[("a", &"x".repeat(129))], "the value of label `a` has 129 bytes: expected at most 128");
    gauge(&["a", "b", "c", "d", "e", "f", "g", "h"].map(|a| (a, "x")), "opened");
    gauge(&["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|a| (a, "x")), "9 labels: expected at most 8");
}

#[test]
fn says_what_is_wrong_with_bounds() {
    let histogram = |bounds: &[f64], expected: &str| check(Kind::Histogram, "size", &[], bounds, expected);
    histogram(&[-1.0, 0.0, 1.0], "opened");
    histogram(&[], "0 bounds: expected 1 to 32");
    histogram(&[1.0; 33], "33 bounds: expected 1 to 32");
    histogram(&[1.0, f64::INFINITY], "bound 1 is not a finite number");
    histogram(&[f64::NAN], "bound 0 is not a finite number");
    histogram(&[1.0, 2.0, 2.0], "bound 2 is not larger than the one before");
    let expected = "the plugin has histogram `wait` already, with other bounds";
    check(Kind::Histogram, "wait", &[], &[2.0], expected);
    check(Kind::Histogram, "wait", &[("a", "b")], &[2.0], expected);
    check(Kind::Histogram, "wait", &[("a", "b")], &[1.0], "opened");
}

#[test]
fn plugins_choose_bounds_for_themselves() {
    let registry = Registry::new();
    let of = |plugin, bound| registry.plugin(plugin, 1).open_histogram("wait", &[], &[bound]);
    let _held = (of("guard", 1.0).unwrap(), of("auth", 2.0).unwrap());
    assert_eq!(page(&registry).matches("# TYPE").count(), 1);
}

#[test]
fn series_are_bounded_for_each_plugin() {
    let registry = Registry::new();
    let plugin = registry.plugin("guard", 2);
    let first = plugin.open_gauge("a", &[]).unwrap();
    let _second = plugin.open_gauge("b", &[]).unwrap();
    let refused = plugin.open_gauge("c", &[]).unwrap_err();
    assert_eq!(refused.to_string(), "the plugin has 2 series already, and may not have more");
    assert!(plugin.open_gauge("a", &[]).is_ok());
    assert!(registry.plugin("auth", 1).open_gauge("c", &[]).is_ok());
    drop(first);
    assert!(plugin.open_gauge("c", &[]).is_ok());
}

#[test]
fn threads_lose_nothing() {
    let registry = Registry::new();
    let plugin = registry.plugin("guard", 3);
    let hits = plugin.open_counter("hits_total", &[]).unwrap();
    let load = plugin.open_gauge("load", &[]).unwrap();
    let wait = plugin.open_histogram("wait", &[], &[1.0]).unwrap();
    let work = || {
        for _ in 0..10_000 {
            plugin.open_counter("hits_total", &[]).unwrap().add(1);
            load.add(0.5);
            wait.observe(2.0);
        }
    };
    thread::scope(|scope| _ = [scope.spawn(work), scope.spawn(work)]);
    assert_eq!((hits.value(), load.value(), wait.sum()), (20_000, 10_000.0, 40_000.0));
    assert_eq!(wait.counts().collect::<Vec<_>>(), [0, 20_000]);
}
