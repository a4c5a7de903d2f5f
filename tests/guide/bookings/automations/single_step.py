from tests.guide.page import execute

execute("single_step", globals())
