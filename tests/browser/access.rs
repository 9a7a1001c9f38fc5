//! Who gets in: wrong passwords, the first password, the way out.

use maltrail_tests::webdriver::left_out;

use crate::scene::Scene;

#[test]
fn a_wrong_password_is_answered_and_the_form_stays() {
    if left_out("a_wrong_password_is_answered_and_the_form_stays") {
        return;
    }
    let mut scene = Scene::installed(1280);
    scene.sign_in("admin", "wrong");
    let filled =
        "return document.querySelector('[data-testid=login-error]').innerText.trim() !== ''";
    scene.reader.wait_until("an error line", filled);
    let text = scene.reader.text("[data-testid=login-error]");
    assert_eq!(text.trim(), "Wrong name or password.");
    let focused = scene
        .reader
        .run("return document.activeElement?.dataset.testid ?? ''");
    assert_eq!(focused, "login-password", "ready for the next attempt");
    assert_eq!(scene.reader.all("[data-testid=threat-row]").len(), 0);
    let unexpected: Vec<_> = scene
        .reader
        .console()
        .into_iter()
        .filter(|entry| entry.starts_with("SEVERE") && !entry.contains("401"))
        .collect();
    assert_eq!(unexpected, Vec::<String>::new());
}

#[test]
fn the_shipped_password_leads_to_a_new_one_and_then_to_the_table() {
    if left_out("the_shipped_password_leads_to_a_new_one_and_then_to_the_table") {
        return;
    }
    let mut scene = Scene::installed(1280);
    scene.sign_in("admin", "admin");
    scene.reader.find("[data-testid=change-form]");
    assert_eq!(
        scene.reader.all("[data-testid=change-keep]").len(),
        0,
        "it cannot be kept on a real installation"
    );
    scene.reader.type_into("[data-testid=change-new]", "short");
    scene
        .reader
        .type_into("[data-testid=change-repeat]", "short");
    scene.reader.click("[data-testid=change-submit]");
    let error = scene.reader.text("[data-testid=change-error]");
    assert!(error.contains("8 characters"), "{error}");
    scene
        .reader
        .type_into("[data-testid=change-new]", "-but-now-long");
    scene
        .reader
        .type_into("[data-testid=change-repeat]", "-but-now-long");
    scene.reader.click("[data-testid=change-submit]");
    scene
        .reader
        .find("[data-testid=empty-state][data-kind=day]");
    scene.reader.wait_until(
        "the live stream",
        "return document.querySelector('[data-testid=live-toggle]')?.dataset.state === 'live'",
    );
    scene.expect_quiet_console();

    // Signed out, the old password is of no use and the new one is.
    scene.reader.click("[data-testid=sign-out]");
    scene.sign_in("admin", "admin");
    let filled =
        "return document.querySelector('[data-testid=login-error]').innerText.trim() !== ''";
    scene.reader.wait_until("an error line", filled);
    scene
        .reader
        .type_into("[data-testid=login-password]", "short-but-now-long");
    scene.reader.click("[data-testid=login-submit]");
    scene
        .reader
        .find("[data-testid=empty-state][data-kind=day]");
}

/// `cargo xtask run` may keep the shipped password.
#[test]
fn a_trial_run_may_keep_the_shipped_password() {
    if left_out("a_trial_run_may_keep_the_shipped_password") {
        return;
    }
    let mut scene = Scene::with_threats(1280);
    scene.wait_for_rows(50);
    assert_eq!(scene.reader.title(), "Maltrail · 60 threats");
    scene.expect_quiet_console();
}
