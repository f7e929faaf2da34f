//! Printing that doesn't mind a reader who has gone (`cargo xtask status | head`): a mesh must not fall over
//! because nobody listens. std's own macros panic then.

/// A line for whoever asked.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// A line about what goes on.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
