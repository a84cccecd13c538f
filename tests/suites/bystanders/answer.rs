//! A bystander's answer, and the right one.

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The time, the caller and the callee.
    pub(crate) what: String,
    /// The right answer.
    pub(crate) right: String,
    /// The actual answer.
    pub(crate) got: String,
}

impl Answer {
    /// The same, with its time.
    pub(crate) fn at(self, when: &str) -> Self {
        let what = format!("{when}: {}", self.what);
        Self { what, ..self }
    }
}

/// Asserts that all are right, and lists the wrong ones.
pub(crate) fn assert_right(answers: &[Answer]) {
    let wrong = answers.iter().filter(|answer| answer.got != answer.right);
    let told = |answer: &Answer| {
        let Answer { what, right, got } = answer;
        format!("\n{what}: {got}, and not {right}")
    };
    let wrong: Vec<String> = wrong.map(told).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} answers are wrong:{}",
        wrong.len(),
        answers.len(),
        wrong.concat()
    );
}
