"""From files, lists and Fleets to devices, each with its command."""
