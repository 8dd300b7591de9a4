//! Compression, as the data plane says it.

use crate::config;
use crate::message::compress::{Coding, Levels, Settings};
use crate::proxy::Compress;

pub(super) fn live(written: &config::Compress) -> Compress {
    let coding = |written: &config::Coding| match written {
        config::Coding::Br => Coding::Brotli,
        config::Coding::Zstd => Coding::Zstd,
        config::Coding::Gzip => Coding::Gzip,
    };
    let config::Levels { br, zstd, gzip } = written.levels;
    Compress {
        settings: Settings {
            codings: written.codings.iter().map(coding).collect(),
            types: written.types.clone(),
            minimum_size: written.minimum_size.as_u64(),
        },
        levels: Levels { brotli: br, zstd, gzip },
    }
}
