"""The panel: launch, watch and compare runs. It reads through the tools' own clients and keeps nothing itself."""
