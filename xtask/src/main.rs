fn main() -> anyhow::Result<()> {
    std::fs::write(
        "maltrail.conf",
        maltrail_core::config::options::shipped_file(),
    )?;
    Ok(())
}
