//! The streams behind the codings: bytes of a body go in as they come, and come out when there is a block of them, or
//! at once when the caller flushes.

use std::io;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{self, CParameter, InBuffer, Operation as _, OutBuffer};

use super::Coding;

/// Deflate looks back by no more than 32 KiB.
const GZIP_WINDOW_BITS: u8 = 15;

/// 128 KiB, 256 and 512. From level 5 up it is worse than its own level 4 with a smaller one: 27.8, 23.2 and 21.6 % of
/// 600 kB of program text at level 5. More than that takes memory and hardly gives anything back.
const BROTLI_WINDOW_BITS: [u32; 3] = [17, 18, 19];

/// 256 KiB. What levels would choose for themselves, up to the 8 MiB that clients have to bear with (RFC 9659), takes
/// twice the memory for 3 % less output.
const ZSTD_WINDOW_BITS: u32 = 18;

/// The least room for output that is asked for at once.
const ROOM: usize = 4096;

/// What encoders take of memory, in KiB, by level from 0, as `mallinfo2` counts it.
const GZIP_MEMORY: [usize; 1] = [372];
const BROTLI_MEMORY: [usize; 10] = [170, 118, 970, 990, 3480, 6510, 7300, 13_700, 21_900, 39_300];
const ZSTD_MEMORY: [usize; 10] = [1081, 1081, 1273, 1785, 3065, 3577, 3577, 6137, 6137, 11_257];

/// How much an encoder takes of memory at most, in bytes. Levels above 9 take more.
pub fn memory(coding: Coding, level: u32) -> usize {
    let by_level: &[usize] = match coding {
        Coding::Gzip => &GZIP_MEMORY,
        Coding::Brotli => &BROTLI_MEMORY,
        Coding::Zstd => &ZSTD_MEMORY,
    };
    by_level[(level as usize).min(by_level.len() - 1)] << 10
}

/// The body of one response. Dropped half-way it leaves a stream that no client takes for whole.
///
/// What each costs, and how fast it is, with 2 MB and 20 kB of program text on one core of a small server. The memory is
/// what [`memory`] counts with; short bodies take less of brotli, and of zstd's less is touched.
///
/// | coding | level | memory  | output | MB/s | of 20 kB |
/// |--------|-------|---------|--------|------|----------|
/// | gzip   | 1     | 372 KiB | 40.3 % | 201  | 57.3 %   |
/// | gzip   | 6     | 372 KiB | 26.8 % | 57   | 41.6 %   |
/// | gzip   | 9     | 372 KiB | 26.5 % | 36   | 41.4 %   |
/// | brotli | 1     | 118 KiB | 37.2 % | 83   | 49.0 %   |
/// | brotli | 4     | 3.4 MiB | 27.5 % | 53   | 41.9 %   |
/// | brotli | 5     | 6.4 MiB | 28.2 % | 34   | 39.6 %   |
/// | brotli | 6     | 7.1 MiB | 27.9 % | 22   | 39.5 %   |
/// | brotli | 9     | 38 MiB  | 22.8 % | 9    | 39.5 %   |
/// | zstd   | 1     | 1.1 MiB | 30.6 % | 330  | 46.0 %   |
/// | zstd   | 3     | 1.8 MiB | 27.7 % | 216  | 42.8 %   |
/// | zstd   | 6     | 3.5 MiB | 24.9 % | 66   | 41.8 %   |
/// | zstd   | 7     | 6.0 MiB | 24.5 % | 56   | 41.8 %   |
/// | zstd   | 9     | 11 MiB  | 24.4 % | 41   | 41.7 %   |
/// | zstd   | 19    | 82 MiB  | 22.2 % | 3    | 40.0 %   |
pub struct Encoder {
    stream: Stream,
    /// Something went in since the last flush. Another flush would only make the body longer.
    holds_back: bool,
}

enum Stream {
    Gzip(Box<Compress>),
    Brotli(Box<BrotliEncoderStateStruct<StandardAlloc>>),
    Zstd(raw::Encoder<'static>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Process,
    Flush,
    Finish,
}

impl Encoder {
    /// Begins a body. Levels are those of the coding, and taken for the nearest that there is: 1 to 9 for gzip, 0 to 11
    /// for brotli and 1 to 22 for zstd. For what is made while the client waits 6, 4 and 3 are sensible.
    ///
    /// # Errors
    /// Where zstd is out of memory.
    pub fn new(coding: Coding, level: u32) -> io::Result<Self> {
        let stream = match coding {
            Coding::Gzip => Stream::Gzip(Box::new(gzip(level))),
            Coding::Brotli => Stream::Brotli(Box::new(brotli(level))),
            Coding::Zstd => Stream::Zstd(zstd(level)?),
        };
        Ok(Self { stream, holds_back: false })
    }

    /// Takes in more of the body. What is ready is appended to `output`; there may be nothing for a long time.
    ///
    /// # Errors
    /// As with the others: only where a library finds itself in a state that it cannot be in. The body is lost then.
    pub fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        self.holds_back |= !input.is_empty();
        self.run(Operation::Process, input, output)
    }

    /// Appends all that was held back, so that the client can read everything up to here. For bodies that pause; each
    /// flush costs a few bytes and makes what follows compress less well.
    ///
    /// # Errors
    /// See `encode`.
    pub fn flush(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        if !std::mem::take(&mut self.holds_back) {
            return Ok(());
        }
        self.run(Operation::Flush, &[], output)
    }

    /// Appends what is left and the end of the body.
    ///
    /// # Errors
    /// See `encode`.
    pub fn finish(mut self, output: &mut Vec<u8>) -> io::Result<()> {
        self.run(Operation::Finish, &[], output)
    }

    fn run(&mut self, operation: Operation, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Gzip(stream) => run_gzip(stream, operation, input, output),
            Stream::Brotli(stream) => run_brotli(stream, operation, input, output),
            Stream::Zstd(stream) => run_zstd(stream, operation, input, output),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let coding = match self.stream {
            Stream::Gzip(_) => Coding::Gzip,
            Stream::Brotli(_) => Coding::Brotli,
            Stream::Zstd(_) => Coding::Zstd,
        };
        formatter
            .debug_struct("Encoder")
            .field("coding", &coding)
            .field("holds_back", &self.holds_back)
            .finish()
    }
}

fn gzip(level: u32) -> Compress {
    Compress::new_gzip(Compression::new(level.clamp(1, 9)), GZIP_WINDOW_BITS)
}

fn brotli(level: u32) -> BrotliEncoderStateStruct<StandardAlloc> {
    let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.min(11));
    let window = BROTLI_WINDOW_BITS[if level < 4 {
        0
    } else if level == 4 {
        1
    } else {
        2
    }];
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
    state
}

fn zstd(level: u32) -> io::Result<raw::Encoder<'static>> {
    let level = i32::try_from(level.clamp(1, 22)).unwrap_or(22);
    let mut encoder = raw::Encoder::new(level)?;
    encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_BITS))?;
    Ok(encoder)
}

fn run_gzip(
    stream: &mut Compress,
    operation: Operation,
    input: &[u8],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    let flush = match operation {
        Operation::Process => FlushCompress::None,
        Operation::Flush => FlushCompress::Sync,
        Operation::Finish => FlushCompress::Finish,
    };
    let mut left = input;
    loop {
        output.reserve(ROOM);
        let before = stream.total_in();
        let status = stream.compress_vec(left, output, flush)?;
        left = &left[(stream.total_in() - before) as usize..];
        // Where there is room left nothing waits for it.
        let has_room = output.len() < output.capacity();
        let is_done = if operation == Operation::Finish { status == Status::StreamEnd } else { has_room };
        if is_done && left.is_empty() {
            return Ok(());
        }
    }
}

fn run_brotli(
    stream: &mut BrotliEncoderStateStruct<StandardAlloc>,
    operation: Operation,
    input: &[u8],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    let operation = match operation {
        Operation::Process => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Operation::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Operation::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut position) = (input.len(), 0);
    loop {
        // Without room in an output of ours it keeps its own, from which it is taken without another copy.
        let (no_room, no_output, no_position) = (&mut 0, &mut [], &mut 0);
        let is_well = stream.compress_stream(
            operation,
            &mut left,
            input,
            &mut position,
            no_room,
            no_output,
            no_position,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !is_well {
            return Err(io::Error::other("brotli does not go on"));
        }
        // 0 asks for all that there is; the slice goes beyond it.
        let mut size = 0;
        let ready = stream.take_output(&mut size);
        output.extend_from_slice(&ready[..size]);
        if left == 0 && !stream.has_more_output() {
            return Ok(());
        }
    }
}

fn run_zstd(
    stream: &mut raw::Encoder<'static>,
    operation: Operation,
    input: &[u8],
    output: &mut Vec<u8>,
) -> io::Result<()> {
    let mut left = InBuffer::around(input);
    loop {
        output.reserve(ROOM);
        let filled = output.len();
        let mut room = OutBuffer::around_pos(output, filled);
        let is_done = match operation {
            Operation::Process => {
                stream.run(&mut left, &mut room)?;
                left.pos() == input.len()
            }
            Operation::Flush => stream.flush(&mut room)? == 0,
            Operation::Finish => stream.finish(&mut room, true)? == 0,
        };
        if is_done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
