//! Writing PEM; reading it is rustls's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The characters of a line.
const LINE: usize = 64;

/// One block, such as a `CERTIFICATE`.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = STANDARD.encode(der);
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(LINE));
        text.push_str(&rest);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let text = block("X", &[0; 50]);
        let lines: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lines, ["-----BEGIN X-----".len(), 64, 4, "-----END X-----".len()]);
        assert!(text.ends_with("AAA=\n-----END X-----\n"), "{text}");
    }
}
