"""Which entry goes when there is no room: policies behind one interface."""
