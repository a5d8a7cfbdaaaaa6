//! A strace log of a driver, read as a history of what was durable when: which files had bytes, and which
//! directories had entries, that no fsync covered yet when the driver answered on its socket.

mod call;
mod history;
mod paths;

pub use call::{Call, TRACED, parse};
pub use history::{Ack, History, Verdict};

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &str = r#"
7 1.0 openat2(3</store/tmp>, "t", {flags=O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, mode=0644, resolve=RESOLVE_BENEATH}, 24) = 9</store/tmp/t>
7 1.1 write(9</store/tmp/t>, ""..., 5) = 5
8 1.2 fsync(9</store/tmp/t> <unfinished ...>
9 1.3 mkdirat(3</store>, "d", 0755) = 0
8 1.4 <... fsync resumed>) = 0
8 1.5 renameat2(4</store/tmp>, "t", 5</store/d>, "key", RENAME_NOREPLACE) = 0
8 1.6 fsync(5</store/d>) = 0
8 1.7 fsync(3</store>) = 0
6 1.8 writev(11<socket:[123]>, [{iov_base=""..., iov_len=9}], 1) = 9
"#;

    fn check(log: &str) -> Vec<String> {
        let ack = Ack { what: "put".into(), at: 2.0, removes: false };
        let verdict =
            History::new("/store", ["/store".into(), "/store/tmp".into()]).check(&parse(log), &[ack]);
        assert_eq!((verdict.checked, verdict.with_changes), (1, 1));
        verdict.violations
    }

    #[test]
    fn the_right_order_is_no_violation() {
        assert_eq!(check(PUT), Vec::<String>::new());
    }

    #[test]
    fn every_missing_fsync_is_found() {
        for missing in ["8 1.4", "8 1.6", "8 1.7"] {
            let log: Vec<_> = PUT.lines().filter(|line| !line.starts_with(missing)).collect();
            assert!(!check(&log.join("\n")).is_empty(), "nobody missed the fsync of {missing}");
        }
    }

    #[test]
    fn a_failed_fsync_is_none() {
        assert!(!check(&PUT.replace("fsync(5</store/d>) = 0", "fsync(5</store/d>) = -1 EIO")).is_empty());
    }

    #[test]
    fn an_fsync_that_began_before_the_write_was_done_does_not_cover_it() {
        let late = "6 1.75 <... pwrite64 resumed>) = 5\n6 1.8";
        let log = PUT
            .replace("8 1.6", "6 1.55 pwrite64(9</store/d/key>, \"\"..., 5, 0 <unfinished ...>\n8 1.6")
            .replace("6 1.8", late);
        assert!(!check(&log).is_empty());
    }

    #[test]
    fn an_answer_before_the_last_fsync_is_found() {
        let answer = "6 1.8 writev(11<socket:[123]>, [{iov_base=\"\"..., iov_len=9}], 1) = 9\n";
        let early =
            PUT.replace(answer, "").replace("8 1.7", &format!("{answer}8 1.7")).replace("6 1.8", "6 1.65");
        assert!(!check(&early).is_empty());
    }

    #[test]
    fn a_name_before_the_bytes_are_durable_is_found_whatever_follows() {
        let late = PUT
            .replace("8 1.4 <... fsync resumed>) = 0\n", "")
            .replace("8 1.6", "8 1.55 <... fsync resumed>) = 0\n8 1.6");
        assert!(!check(&late).is_empty());
    }
}
