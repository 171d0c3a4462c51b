"""Privacy-enhancing technologies behind one interface; one package each, siblings that do not know each other."""
