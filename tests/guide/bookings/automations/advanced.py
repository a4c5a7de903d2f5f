from tests.guide.page import execute

execute("advanced", globals())
