"""What people may enter: the judge of each value, what values ask of each other, rules about replies."""
