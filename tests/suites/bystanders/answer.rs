//! The answer that a bystander got, and the right one.

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// When, and who asked whom.
    pub(crate) what: String,
    /// What is right.
    pub(crate) right: String,
    /// What came of it.
    pub(crate) got: String,
}

impl Answer {
    /// The same, and when it was.
    pub(crate) fn at(self, when: &str) -> Self {
        let what = format!("{when}: {}", self.what);
        Self { what, ..self }
    }
}

/// Asserts that all are right, and names each one that is not.
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
