"""What ``make`` calls. No part of the package."""
