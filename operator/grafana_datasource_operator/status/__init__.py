"""What happened -> status of the resource and events about it. Pure: time is passed in."""
