//! The plugin's own numbers in the gateway's metrics.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::Host;
use crate::capability::metrics as live;
use crate::plugin::bindings::metrics::{self, Labels};

/// Type of the guest's handle on a counter.
pub struct Counter(Arc<live::Counter>);

/// Type of the guest's handle on a gauge.
pub struct Gauge(Arc<live::Gauge>);

/// Type of the guest's handle on a histogram.
pub struct Histogram(Arc<live::Histogram>);

impl metrics::Host for Host {}

impl metrics::HostCounter for Host {
    fn open(&mut self, name: String, labels: Labels) -> wasmtime::Result<Result<Resource<Counter>, String>> {
        self.open(
            (name, labels),
            |opened| &mut opened.counters,
            |opened| &opened.counters,
            |attachment, (name, labels)| {
                attachment
                    .plugin
                    .granted
                    .series()?
                    .open_counter(name, labels)
                    .map_err(|error| error.to_string())
            },
            Counter,
        )
    }

    fn add(&mut self, counter: Resource<Counter>, amount: u64) -> wasmtime::Result<()> {
        self.table.get(&counter)?.0.add(amount);
        Ok(())
    }

    fn drop(&mut self, counter: Resource<Counter>) -> wasmtime::Result<()> {
        self.table.delete(counter)?;
        Ok(())
    }
}

impl metrics::HostGauge for Host {
    fn open(&mut self, name: String, labels: Labels) -> wasmtime::Result<Result<Resource<Gauge>, String>> {
        self.open(
            (name, labels),
            |opened| &mut opened.gauges,
            |opened| &opened.gauges,
            |attachment, (name, labels)| {
                attachment
                    .plugin
                    .granted
                    .series()?
                    .open_gauge(name, labels)
                    .map_err(|error| error.to_string())
            },
            Gauge,
        )
    }

    fn set(&mut self, gauge: Resource<Gauge>, value: f64) -> wasmtime::Result<()> {
        self.table.get(&gauge)?.0.set(value);
        Ok(())
    }

    fn add(&mut self, gauge: Resource<Gauge>, amount: f64) -> wasmtime::Result<()> {
        self.table.get(&gauge)?.0.add(amount);
        Ok(())
    }

    fn drop(&mut self, gauge: Resource<Gauge>) -> wasmtime::Result<()> {
        self.table.delete(gauge)?;
        Ok(())
    }
}

impl metrics::HostHistogram for Host {
    fn open(
        &mut self,
        name: String,
        labels: Labels,
        bounds: Vec<f64>,
    ) -> wasmtime::Result<Result<Resource<Histogram>, String>> {
        self.open(
            ((name, labels), bounds.iter().map(|bound| bound.to_bits()).collect()),
            |opened| &mut opened.histograms,
            |opened| &opened.histograms,
            |attachment, ((name, labels), _)| {
                let series = attachment.plugin.granted.series()?;
                series.open_histogram(name, labels, &bounds).map_err(|error| error.to_string())
            },
            Histogram,
        )
    }

    fn observe(&mut self, histogram: Resource<Histogram>, value: f64) -> wasmtime::Result<()> {
        self.table.get(&histogram)?.0.observe(value);
        Ok(())
    }

    fn drop(&mut self, histogram: Resource<Histogram>) -> wasmtime::Result<()> {
        self.table.delete(histogram)?;
        Ok(())
    }
}
