//! The examples of docs/API.md.

use std::process::Command;

use crate::statistics::loaded;

#[tokio::test(flavor = "multi_thread")]
async fn each_example_of_the_documentation_runs() {
    let hub = loaded().await;
    let page = include_str!("../../../../docs/API.md");
    let examples: Vec<_> = page.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(examples.len() > 10);
    for example in examples {
        let directory = tempfile::tempdir().unwrap();
        let done = Command::new("sh")
            .args(["-c", example])
            .env("API_URL", format!("http://{}", hub.rest))
            .env("API_KEY", crate::hub::KEY)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{example}: {done:?}");
    }
}
