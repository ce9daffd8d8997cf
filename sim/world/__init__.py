"""Who receives and what is sent: populations of destinations and the mail for them."""
