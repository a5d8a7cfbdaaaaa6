//! Page sizes that are none, or that nobody has the memory for.

use longshore_end_to_end::wire::Request;

use super::Target;
use crate::REPOSITORY;

fn lists(target: &Target, n: &str) -> Vec<Request> {
    let subject = target.layer();
    let paths = [
        "/v2/_catalog".to_owned(),
        format!("/v2/{REPOSITORY}/tags/list"),
        format!("/v2/{REPOSITORY}/referrers/{subject}"),
    ];
    paths.iter().map(|path| Request::new("GET", &format!("{path}?n={n}"))).collect()
}

#[tokio::test]
async fn a_page_size_that_is_no_number_is_400_unsupported() {
    let target = Target::start().await;
    let long = "9".repeat(4096) + "x";
    for n in [
        "-1",
        "",
        "x",
        "1.5",
        "1e3",
        "+5",
        "%2b5",
        "0x10",
        "%00",
        "1%00",
        "-9223372036854775808",
        "NaN",
        &long,
    ] {
        for request in lists(&target, n) {
            target.refuses(request, 400, "UNSUPPORTED").await;
        }
    }
    target.unharmed().await;
}

#[tokio::test]
async fn a_page_size_of_billions_is_cut_with_a_warning_and_costs_nothing() {
    let target = Target::start().await;
    let huge = "9".repeat(4096);
    for n in ["1000000000", "9223372036854775807", "9223372036854775808", "18446744073709551616", &huge] {
        for request in lists(&target, n) {
            let path = request.target.clone();
            let answer = target.send(request).await;
            assert_eq!(answer.status, 200, "{path:.80}");
            let warning = answer.header("warning").unwrap_or_default();
            assert!(warning.starts_with("299 - \"n is at most 1000"), "{path:.80}: {warning}");
        }
    }
    target.unharmed().await;
}
