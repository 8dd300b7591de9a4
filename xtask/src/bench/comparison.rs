//! The table of servers that took turns: medians, the ends of the processor time, and the ratios that count.

use super::report::{Table, mebibytes};
use super::rounds::{Figures, Target};
use super::setup::Role;

const HEAD: [&str; 7] = ["proxy", "requests/s", "core busy", "µs/request", "min to max", "p99", "memory"];

/// What the processor time of a row is compared with.
#[derive(Clone, Copy)]
pub enum Reference {
    /// The peer that takes the least, and the floor where there is one.
    BestPeer,
    /// The first row.
    First,
}

/// One row for each target, which there must be, with its figures.
pub fn comparison(targets: &[Target], figures: &[Figures], reference: Reference) -> Table {
    let columns = columns(targets, figures, reference);
    let headings = columns.iter().map(|column| column.heading.as_str());
    let mut table = Table::new(&HEAD.into_iter().chain(headings).collect::<Vec<_>>());
    for (target, figures) in targets.iter().zip(figures) {
        let mut row = row_of(&target.server.name, figures);
        row.extend(columns.iter().map(|column| (column.cell)(figures.processor.median)));
        table.row(row);
    }
    table
}

fn row_of(name: &str, figures: &Figures) -> Vec<String> {
    let Figures { per_second, processor, busy, p99, resident_bytes } = figures;
    vec![
        name.to_owned(),
        rate(per_second.median),
        format!("{:.0} %", busy.median * 100.0),
        format!("{:.2}", processor.median),
        format!("{:.2} to {:.2}", processor.min, processor.max),
        format!("{:.2} ms", p99.median / 1000.0),
        mebibytes(resident_bytes.median),
    ]
}

/// What is slow enough to be counted on fingers has places behind the point.
fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.2}") } else { format!("{per_second:.0}") }
}

/// A column that puts a row's processor time beside that of a reference.
struct Column {
    heading: String,
    cell: Box<dyn Fn(f64) -> String>,
}

fn columns(targets: &[Target], figures: &[Figures], reference: Reference) -> Vec<Column> {
    match reference {
        Reference::BestPeer => {
            let best = times(targets, figures, Role::Peer).min_by(|a, b| a.1.total_cmp(&b.1));
            let floor = times(targets, figures, Role::Floor).next();
            best.into_iter().chain(floor).map(|(name, time)| ratio(name, time)).collect()
        }
        Reference::First => {
            let (name, time) = (&targets[0].server.name, figures[0].processor.median);
            vec![ratio(name, time), added(time)]
        }
    }
}

fn times<'a>(targets: &'a [Target], figures: &[Figures], role: Role) -> impl Iterator<Item = (&'a str, f64)> {
    let pairs = targets.iter().zip(figures).filter(move |(target, _)| target.server.role == role);
    pairs.map(|(target, figures)| (target.server.name.as_str(), figures.processor.median))
}

fn ratio(name: &str, reference: f64) -> Column {
    Column { heading: format!("of {name}"), cell: Box::new(move |time| format!("{:.3}", time / reference)) }
}

fn added(reference: f64) -> Column {
    Column { heading: "added µs".to_owned(), cell: Box::new(move |time| format!("{:.2}", time - reference)) }
}
