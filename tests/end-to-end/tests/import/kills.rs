//! Imports that do not come to their end.

use std::time::Duration;

use longshore_end_to_end::{Process, figure};

use crate::foreign::Foreign;
use crate::target::{Target, compare};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_import_that_is_killed_again_and_again_goes_on_and_ends_complete() {
    let foreign = Foreign::write(4, 256 * 1024).await;
    let target = Target::new();
    let mut inside = 0;
    for milliseconds in [60, 120, 180, 240, 320, 420, 600, 900] {
        let mut import = Process::spawn("longshore", &mut target.command(&foreign.root, &[]));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        inside += u32::from(import.poll().is_none());
        import.kill();
    }
    assert!(inside >= 3, "only {inside} kills came before the end");
    figure!("import: {inside} of 8 kills hit a run");
    let last = target.import(&foreign.root, &[]);
    assert!(last.success, "{}", last.text);
    let before = target.listing();
    let again = target.import(&foreign.root, &[]);
    assert!(again.success && again.sum("manifests").contains(" 0 imported"), "{}", again.text);
    assert!(target.listing() == before, "the run after the last one changed the store");
    let (_core, client) = target.serve();
    compare(&client, &foreign.ledger).await;
}

#[tokio::test]
async fn an_interrupted_import_says_so_and_goes_on_later() {
    let foreign = Foreign::write(5, 512 * 1024).await;
    let target = Target::new();
    let mut import = Process::spawn("longshore", &mut target.command(&foreign.root, &["--jobs", "1"]));
    import.await_line("driver started", PATIENCE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    import.signal(rustix::process::Signal::INT);
    let status = import.wait(PATIENCE);
    assert!(!status.success(), "it was not yet at its end\n{}", import.log());
    assert!(import.log_contains("run it again to go on"), "{}", import.log());
    let rest = target.import(&foreign.root, &[]);
    assert!(rest.success, "{}", rest.text);
    let (_core, client) = target.serve();
    compare(&client, &foreign.ledger).await;
}
