from tests.guide.page import execute

execute("workflows", globals())
