//! What must hold for any bytes that come from outside.
//!
//! Each module is a target: its `check` takes any input, and panics where a promise of the gateway is broken. Inputs come
//! from two places. The files in `corpus` are checked by `cargo test`; they say what inputs look like, and one that
//! once broke a promise is put there too. The programs in `programs` are `cargo xtask fuzz`: libFuzzer changes those files
//! for as long as it is told to, and keeps what reaches code that nothing had reached before.

pub mod document;
pub mod grpc_web;
pub mod head;
pub mod proxy_protocol;

/// Ways in which a network can deliver the bytes of an input: in two pieces, and in many short ones. Which ones is up to
/// the bytes alone, so that a failure can be seen again.
fn deliveries(input: &[u8]) -> [Vec<&[u8]>; 2] {
    let sum = input.iter().fold(0, |sum: usize, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let (front, back) = input.split_at(sum % (input.len() + 1));
    [vec![front, back], input.chunks(1 + sum % 7).collect()]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Checks every file of a folder, from the root of the repository.
    #[allow(clippy::print_stdout, reason = "the last file that a failing test names is the one")]
    fn check(folder: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.is_file()).collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            println!("{}", file.display());
            target(&fs::read(file).unwrap());
        }
    }

    #[test]
    fn heads_hold() {
        check("fuzz/corpus/head", head::check);
    }

    #[test]
    fn headers_of_the_proxy_protocol_hold() {
        check("fuzz/corpus/proxy_protocol", proxy_protocol::check);
    }

    #[test]
    fn bodies_of_grpc_web_hold() {
        check("fuzz/corpus/grpc_web", grpc_web::check);
    }

    #[test]
    fn documents_hold() {
        check("fuzz/corpus/document", document::check);
        check("examples", document::check);
    }
}
